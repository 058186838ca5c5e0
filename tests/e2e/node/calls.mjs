// Plays a list of calls with the unmodified SDK and prints what its caller sees, one JSON line for each.
// stdin: {"baseURL", "apiKey", "maxRetries"?, "calls": [{"do", "params"}]}
import Anthropic from '@anthropic-ai/sdk';

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { baseURL, apiKey, maxRetries, calls } = JSON.parse(Buffer.concat(chunks).toString('utf8'));
const client = new Anthropic({ baseURL, apiKey, ...(maxRetries === undefined ? {} : { maxRetries }) });

const verbs = {
  create: (params) => client.messages.create(params),
  // The raw events of a stream, as `for await` gives them.
  events: async (params) => {
    const events = [];
    for await (const event of await client.messages.create({ ...params, stream: true })) events.push(event);
    return events;
  },
  // The message that the SDK's stream accumulates, and the text its listeners were given.
  stream: async (params) => {
    const stream = client.messages.stream(params);
    let text = '';
    stream.on('text', (delta) => (text += delta));
    return { message: await stream.finalMessage(), text };
  },
  count_tokens: (params) => client.messages.countTokens(params),
  models: async () => {
    const models = [];
    for await (const model of client.models.list()) models.push(model);
    return models;
  },
  model: ({ id }) => client.models.retrieve(id),
};

for (const call of calls) {
  try {
    const answer = await verbs[call.do](call.params ?? {});
    console.log(JSON.stringify({ ok: true, answer, request_id: answer._request_id ?? null }));
  } catch (error) {
    if (!(error instanceof Anthropic.AnthropicError)) throw error;
    console.log(
      JSON.stringify({
        ok: false,
        error: {
          class: error.constructor.name,
          is_api_error: error instanceof Anthropic.APIError,
          status: error.status ?? null,
          type: error.type ?? null,
          request_id: error.requestID ?? null,
          body: error.error ?? null,
          message: error.message,
        },
      }),
    );
  }
}
