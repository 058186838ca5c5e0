// load.c - closed-loop HTTP/1.1 loader for chat gateways (one thread, epoll, keep-alive, bounded by count and time).
// usage: load HOST:PORT PATH CONNS SECONDS MAXREQ BODYFILE [-H 'k: v']... ; prints one JSON line.
// Every "~~~~~~~~" in the body is written anew for each request with eight letters a..p that never came before, so that no
// gateway can have scanned the text already: put one into each sentence.
// Latency = request sent -> last byte. For SSE it also takes: ttfb (first response byte), ttft (first "T=" delta),
// and per-chunk one-way latency: receive time - the send time the upstream wrote into the delta.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <errno.h>
#include <unistd.h>
#include <time.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
typedef struct{int fd;char*buf;size_t n,cap;int hdr,chunked,close;long cl;size_t bstart,scan,cpos;uint64_t t0,tb,tf;int status;int warm;} Conn;
static uint64_t now(void){struct timespec t;clock_gettime(CLOCK_MONOTONIC,&t);return t.tv_sec*1000000000ull+t.tv_nsec;}
static struct sockaddr_in A; static char*req;static size_t reqn;static int ep;
static double*lat,*tb,*tf,*ch;static size_t nlat,ntb,ntf,nch,cch;static size_t ok,err,sent,maxreq,bad,bytes;static int st[600];
static char firsterr[400];
static size_t slot[256];static int nslot;static uint64_t fresh;
static uint64_t mix(uint64_t x){x+=0x9e3779b97f4a7c15ull;x=(x^(x>>30))*0xbf58476d1ce4e5b9ull;x=(x^(x>>27))*0x94d049bb133111ebull;return x^(x>>31);}
static void renew(void){for(int i=0;i<nslot;i++){uint64_t v=mix(++fresh);for(int k=0;k<8;k++){req[slot[i]+k]='a'+(v&15);v>>=4;}}}
static int cmp(const void*a,const void*b){double x=*(double*)a,y=*(double*)b;return x<y?-1:x>y;}
static double pc(double*v,size_t n,double p){if(!n)return 0;size_t i=(size_t)(p*(n-1)+0.5);return v[i];}
static void conn(Conn*c){ c->fd=socket(AF_INET,SOCK_STREAM,0); if(connect(c->fd,(void*)&A,sizeof A)){perror("connect");exit(2);} int one=1;setsockopt(c->fd,IPPROTO_TCP,TCP_NODELAY,&one,4); struct epoll_event ev={.events=EPOLLIN,.data.ptr=c};epoll_ctl(ep,EPOLL_CTL_ADD,c->fd,&ev);}
static int fire(Conn*c){ if(sent>=maxreq)return 0; sent++; renew(); c->n=0;c->hdr=0;c->chunked=0;c->close=0;c->cl=-1;c->scan=0;c->tb=c->tf=0;c->t0=now(); size_t o=0; while(o<reqn){ssize_t r=send(c->fd,req+o,reqn-o,MSG_NOSIGNAL);if(r<=0){close(c->fd);conn(c);o=0;continue;}o+=r;} return 1;}
static int complete(Conn*c,int eof){ if(!c->hdr){char*e=memmem(c->buf,c->n,"\r\n\r\n",4);if(!e)return 0;c->hdr=1;c->bstart=e-c->buf+4;c->status=atoi(c->buf+9);c->cpos=c->bstart;c->scan=c->bstart;
  for(char*p=c->buf;p<e;){char*q=memmem(p,e+2-p,"\r\n",2);if(!q)q=e;if(!strncasecmp(p,"content-length:",15))c->cl=atol(p+15);else if(!strncasecmp(p,"transfer-encoding:",18)&&memmem(p,q-p,"chunked",7))c->chunked=1;else if(!strncasecmp(p,"connection:",11)&&memmem(p,q-p,"close",5))c->close=1;p=q+2;}}
 if(c->chunked){ for(;;){ char*q=memmem(c->buf+c->cpos,c->n-c->cpos,"\r\n",2); if(!q)return 0; size_t k=strtoul(c->buf+c->cpos,0,16); size_t nx=(q-c->buf)+2+k+2; if(nx>c->n)return 0; c->cpos=nx; if(k==0)return 1; } }
 if(c->cl>=0)return c->n>=c->bstart+c->cl; return eof; }
int main(int ac,char**av){ if(ac<7){fprintf(stderr,"usage\n");return 1;} signal(SIGPIPE,SIG_IGN);
 char host[64];int port;sscanf(av[1],"%63[^:]:%d",host,&port);A.sin_family=AF_INET;A.sin_port=htons(port);inet_pton(AF_INET,host,&A.sin_addr); if((ntohl(A.sin_addr.s_addr)>>24)!=127){fprintf(stderr,"loopback only\n");return 1;}
 int nc=atoi(av[3]);double secs=atof(av[4]);maxreq=atol(av[5]); if(secs>60)secs=60; if(maxreq>2000000)maxreq=2000000;
 FILE*f=fopen(av[6],"rb");if(!f){perror(av[6]);return 1;}char*body=malloc(1<<20);size_t bn=fread(body,1,1<<20,f);fclose(f);
 char h[8192];int hn=sprintf(h,"POST %s HTTP/1.1\r\nhost: %s\r\ncontent-type: application/json\r\naccept: */*\r\nuser-agent: peerbench/1\r\nanthropic-version: 2023-06-01\r\n",av[2],av[1]); for(int i=7;i+1<ac;i+=2)if(!strcmp(av[i],"-H"))hn+=sprintf(h+hn,"%s\r\n",av[i+1]); hn+=sprintf(h+hn,"content-length: %zu\r\n\r\n",bn);
 req=malloc(hn+bn);memcpy(req,h,hn);memcpy(req+hn,body,bn);reqn=hn+bn;
 fresh=now(); for(char*p=req+hn;nslot<256&&(p=memmem(p,req+reqn-p,"~~~~~~~~",8));p+=8)slot[nslot++]=p-req;
 ep=epoll_create1(0);lat=malloc(8*(maxreq+1));tb=malloc(8*(maxreq+1));tf=malloc(8*(maxreq+1)); cch=1<<22;ch=malloc(8*cch);
 Conn*C=calloc(nc,sizeof(Conn));int live=0; uint64_t s=now(),end=s+(uint64_t)(secs*1e9); for(int i=0;i<nc;i++){C[i].cap=1<<16;C[i].buf=malloc(1<<16);conn(&C[i]);if(fire(&C[i]))live++;}
 struct epoll_event evs[128]; uint64_t hard=end+20000000000ull;
 while(live>0){ int n=epoll_wait(ep,evs,128,1000); uint64_t t=now(); if(t>hard)break;
  for(int i=0;i<n;i++){Conn*c=evs[i].data.ptr; if(c->cap-c->n<32768){c->cap*=2;c->buf=realloc(c->buf,c->cap);} ssize_t r=recv(c->fd,c->buf+c->n,c->cap-c->n,0); t=now(); int eof=0; if(r<=0){eof=1;}else{if(!c->tb)c->tb=t;c->n+=r;bytes+=r;}
   int dn=complete(c,eof);
   if(c->hdr){ char*p; while((p=memmem(c->buf+c->scan,c->n-c->scan,"T=",2))&&(size_t)(p-c->buf)+18<=c->n){ uint64_t v=0;int good=1;for(int k=0;k<16;k++){int d=p[2+k]-'a';if(d<0||d>15){good=0;break;}v=v<<4|d;} if(good){ if(!c->tf)c->tf=t; if(nch<cch&&v<=t)ch[nch++]=(t-v)/1e3; } c->scan=p-c->buf+2; } }
   if(dn){ st[c->status<600?c->status:599]++; if(c->status==200){ok++;lat[nlat++]=(t-c->t0)/1e3;tb[ntb++]=(c->tb-c->t0)/1e3;if(c->tf)tf[ntf++]=(c->tf-c->t0)/1e3;}else{err++; if(!firsterr[0]){size_t k=c->n-c->bstart;if(k>300)k=300;for(size_t q=0;q<k;q++){char x=c->buf[c->bstart+q];firsterr[q]=(x=='"'||x=='\\'||(unsigned char)x<32)?' ':x;}}}
    if(c->close||eof){epoll_ctl(ep,EPOLL_CTL_DEL,c->fd,0);close(c->fd);conn(c);} if(t>=end||!fire(c))live--; }
   else if(eof){ bad++; epoll_ctl(ep,EPOLL_CTL_DEL,c->fd,0);close(c->fd); if(t>=end||bad>100)live--; else{conn(c); if(!fire(c))live--;} } } }
 double el=(now()-s)/1e9; qsort(lat,nlat,8,cmp);qsort(tb,ntb,8,cmp);qsort(tf,ntf,8,cmp);qsort(ch,nch,8,cmp);
 double sum=0;for(size_t i=0;i<nlat;i++)sum+=lat[i];
 printf("{\"c\":%d,\"ok\":%zu,\"err\":%zu,\"broken\":%zu,\"secs\":%.3f,\"rps\":%.1f,\"bytes\":%zu,\"lat_us\":{\"mean\":%.1f,\"p50\":%.1f,\"p95\":%.1f,\"p99\":%.1f,\"max\":%.1f}",nc,ok,err,bad,el,ok/el,bytes,nlat?sum/nlat:0,pc(lat,nlat,.5),pc(lat,nlat,.95),pc(lat,nlat,.99),pc(lat,nlat,1));
 printf(",\"ttfb_us\":{\"p50\":%.1f,\"p95\":%.1f,\"p99\":%.1f}",pc(tb,ntb,.5),pc(tb,ntb,.95),pc(tb,ntb,.99));
 if(ntf)printf(",\"ttft_us\":{\"p50\":%.1f,\"p95\":%.1f,\"p99\":%.1f},\"chunk_us\":{\"n\":%zu,\"p50\":%.1f,\"p95\":%.1f,\"p99\":%.1f}",pc(tf,ntf,.5),pc(tf,ntf,.95),pc(tf,ntf,.99),nch,pc(ch,nch,.5),pc(ch,nch,.95),pc(ch,nch,.99));
 if(firsterr[0])printf(",\"first_error\":\"%s\"",firsterr); printf("}\n"); return 0; }
