-- The edge's own work: mint the request id, keep gRPC and internal headers out, and turn every failure, a service's or
-- the proxy's, into the one envelope. An error in here fails open, so tests assert that lua.errors stays 0.

local NAMESPACE = "hasp.edge"
local ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" -- Crockford's base 32, as ULIDs use it

-- Request ids --------------------------------------------------------------------------------------------------------

local function base32(number, digits)
  local out = {}
  for place = digits, 1, -1 do
    local digit = number % 32
    out[place] = string.sub(ALPHABET, digit + 1, digit + 1)
    number = (number - digit) / 32
  end
  return table.concat(out)
end

-- 20 hex digits of real randomness: from Envoy's UUIDv4, leaving out its version and variant digits, or, for a request
-- that failed before Envoy gave it one, from the kernel. Never math.random: it counts alike in every worker.
local function entropy(uuid)
  local digits = uuid and string.gsub(uuid, "-", "") or ""
  if #digits == 32 and not string.find(digits, "%X") then
    return string.sub(digits, 1, 12) .. string.sub(digits, 25, 32)
  end
  local source = assert(io.open("/dev/urandom", "rb"))
  local bytes = source:read(10)
  source:close()
  return (string.gsub(bytes, ".", function(byte) return string.format("%02x", string.byte(byte)) end))
end

-- A missing header is no value at all rather than nil, hence the parentheses around some get().
local function mint(handle, uuid)
  local digits = entropy(uuid)
  local parts = {"req_", base32(tonumber(handle:timestamp()), 10)}
  for from = 1, 16, 5 do -- 5 hex digits are 20 bits are 4 characters
    parts[#parts + 1] = base32(tonumber(string.sub(digits, from, from + 4), 16), 4)
  end
  return table.concat(parts)
end

-- Requests -----------------------------------------------------------------------------------------------------------

local function is_anthropic(path)
  local rest = string.match(path, "^/v1/messages(.?)") or string.match(path, "^/v1/models(.?)")
  return rest == "" or rest == "/"
end

local function is_internal(name)
  return string.find(name, "^x%-hasp%-") or string.find(name, "^grpc%-") or string.find(name, "^x%-envoy%-")
    or name == "x-http-status" or name == "te" or name == "forwarded"
end

local function strip(headers, is_unwanted)
  local unwanted = {}
  for name in pairs(headers) do
    if is_unwanted(name) then unwanted[#unwanted + 1] = name end
  end
  for _, name in ipairs(unwanted) do headers:remove(name) end
end

local function has_method_with_body(headers)
  local method = headers:get(":method")
  return method == "POST" or method == "PUT" or method == "PATCH"
end

-- The code that refuses the request before anything else looks at it, or nil.
local function refusal(headers, limit)
  local media_type = string.lower(headers:get("content-type") or "")
  if string.find(media_type, "^application/grpc") then return "UNSUPPORTED_MEDIA_TYPE" end
  local length = tonumber((headers:get("content-length")))
  if length and limit and length > limit then return "REQUEST_TOO_LARGE" end
  local has_body = (length and length > 0) or headers:get("transfer-encoding")
  if has_body and media_type ~= "" and has_method_with_body(headers) then
    if string.match(media_type, "^([^;%s]*)") ~= "application/json" then return "UNSUPPORTED_MEDIA_TYPE" end
  end
  return nil
end

local function unescaped(text)
  return (string.gsub(text, "%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

-- The code that refuses the path or the query, or nil, and the parameter. The transcoder would let a parameter take the
-- place of a path's variable, and hand the service bytes that no string of protobuf may hold.
-- `accepted` are the parameters of the route, each followed by `&`.
local function refusal_of_target(path, query, accepted)
  if not is_utf8(unescaped(path)) then return "VALIDATION_FAILED" end
  for pair in string.gmatch(query, "[^&]+") do
    local name = unescaped(string.match(pair, "^[^=]*"))
    if not is_utf8(unescaped(pair)) then return "UNSUPPORTED_PARAMETER" end
    if string.find(name, "&", 1, true) or not string.find("&" .. accepted, "&" .. name .. "&", 1, true) then
      return "UNSUPPORTED_PARAMETER", string.match(name, "^[%w_.%-]+$")
    end
  end
  return nil
end

local function refuse(handle, code, param)
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set(NAMESPACE, "refused", code)
  if param then metadata:set(NAMESPACE, "refused_param", param) end
  handle:headers():remove("content-type") -- for a gRPC request the proxy would answer 200 with a grpc-status
  handle:respond({[":status"] = tostring(CODES[code][1])}, "")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local path, query = string.match(headers:get(":path") or "", "^([^?#]*)%??([^#]*)")
  local route = handle:metadata()
  local limit, is_json_expected = route:get("limit_bytes"), route:get("json_body")
  local request_id = mint(handle, (headers:get("x-request-id")))
  strip(headers, is_internal)
  headers:replace("x-request-id", request_id)

  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set(NAMESPACE, "request_id", request_id)
  metadata:set(NAMESPACE, "anthropic", is_anthropic(path))
  metadata:set(NAMESPACE, "method", headers:get(":method"))
  if limit then metadata:set(NAMESPACE, "limit_bytes", limit) end

  local code, param = refusal(headers, limit)
  local accepted = route:get("query") -- of a service's routes alone
  if not code and accepted then code, param = refusal_of_target(path, query, accepted) end
  if code then
    refuse(handle, code, param)
  elseif is_json_expected and has_method_with_body(headers) then
    local body = handle:body()
    if body and not is_json_object(body:getBytes(0, body:length())) then refuse(handle, "MALFORMED_JSON") end
  end
end

-- Responses ----------------------------------------------------------------------------------------------------------

-- {code, status?, type?, message?, param?, details?, docs_hint?, retryable?} of a google.rpc.Status in JSON.
local function failure_of_status(status)
  local code = GRPC_CODES[status.code] or "INTERNAL_ERROR"
  local fallback = CODES[code]
  for _, detail in ipairs(type(status.details) == "table" and status.details or {}) do
    if type(detail) == "table" and detail["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
      and detail.domain == "hasp" and type(detail.reason) == "string" then
      local metadata = type(detail.metadata) == "table" and detail.metadata or {}
      return {
        code = detail.reason,
        status = tonumber(metadata.http_status) or not CODES[detail.reason] and fallback[1],
        type = metadata.type,
        message = detail.reason ~= "INTERNAL_ERROR" and status.message or nil,
        param = metadata.param,
        details = decode_object(metadata.details) and metadata.details,
        docs_hint = metadata.docs_hint,
        retryable = metadata.retryable,
        retry_after = tonumber(metadata.retry_after) and metadata.retry_after,
      }
    end
  end
  return {code = code}
end

local function unsupported(name)
  return {code = "UNSUPPORTED_PARAMETER", param = name, message = "The parameter '" .. name .. "' is not supported."}
end

-- The proxy's text is read for one thing only: which parameter was wrong.
local function failure_of_proxy(status, text, state)
  local code = state.refused or PROXY_CODES[status]
  if state.refused_param then return unsupported(state.refused_param) end
  if status == 400 and not state.refused then
    local name = string.match(text, 'Could not find field "([%w_.%-]+)" in the type')
      or string.match(text, "Cannot set '([%w_]+)' for type") -- given twice
      or string.match(text, 'of the field ([%w_.]+) is conflicting with') -- in the query or path, and in the body
    if name then return unsupported(name) end
    if state.method == "GET" or state.method == "DELETE" then
      return {code = "UNSUPPORTED_PARAMETER", message = "A query parameter could not be read."}
    end
    if state.limit_bytes then code = "MALFORMED_JSON" end
  elseif code == "REQUEST_TOO_LARGE" and state.limit_bytes then
    return {code = code, details = string.format('{"limit_bytes":%d}', state.limit_bytes)}
  elseif code == "RATE_LIMITED" then
    return {code = code, details = '{"retry_after_seconds":1}', retry_after = "1"}
  end
  return {code = code or (status >= 500 and "INTERNAL_ERROR" or "VALIDATION_FAILED")}
end

local function completed(failure)
  local known = CODES[failure.code] or CODES.INTERNAL_ERROR
  local status = failure.status
  if not status or status < 400 or status > 599 then status = known[1] end
  failure.status = status
  failure.type = failure.type or (status == known[1] and known[2]) or TYPES[status]
    or (status > 500 and "unavailable" or "invalid_request")
  if not failure.message or failure.message == "" then failure.message = known[3] end
  if failure.retryable ~= "true" and failure.retryable ~= "false" then
    local is_retryable = RETRYABLE[failure.code] or (status >= 502 and status <= 504)
    failure.retryable = is_retryable and "true" or "false"
  end
  return failure
end

local function native_envelope(failure, request_id)
  local id = quote(request_id)
  local members = {
    '"code":' .. quote(failure.code), '"type":' .. quote(failure.type), '"message":' .. quote(failure.message),
  }
  if failure.param then members[#members + 1] = '"param":' .. quote(failure.param) end
  if failure.details then members[#members + 1] = '"details":' .. failure.details end
  members[#members + 1] = '"retryable":' .. failure.retryable
  members[#members + 1] = '"request_id":' .. id
  if failure.docs_hint then members[#members + 1] = '"docs_hint":' .. quote(failure.docs_hint) end
  return '{"success":false,"error":{' .. table.concat(members, ",") .. '},"meta":{"request_id":' .. id .. "}}"
end

-- Anthropic's shape has no `param`, so it joins the details.
local function anthropic_details(failure)
  if not failure.param then return failure.details end
  local param = '{"param":' .. quote(failure.param)
  local details = decode_object(failure.details)
  if not details or not next(details) then return param .. "}" end
  if details.param then return failure.details end
  return param .. "," .. string.match(failure.details, "^%s*{(.*)$")
end

local function anthropic_envelope(failure, request_id)
  local status = failure.status
  local kind = ANTHROPIC_TYPES[status] or (status >= 500 and "api_error" or "invalid_request_error")
  local details = anthropic_details(failure)
  return '{"type":"error","error":{"type":' .. quote(kind) .. ',"message":' .. quote(failure.message)
    .. ',"hasp_code":' .. quote(failure.code) .. (details and ',"hasp_details":' .. details or "")
    .. '},"request_id":' .. quote(request_id) .. "}"
end

local function is_hidden(name)
  return string.find(name, "^x%-hasp%-") or string.find(name, "^grpc%-") or string.find(name, "^x%-envoy%-")
    or name == "x-http-status" or name == "trailer"
end

-- The failure behind a response: what the service reported, or what the proxy itself refused.
local function failure_of(handle, body, state, status)
  local headers = handle:headers()
  local text = body and body:length() > 0 and body:getBytes(0, body:length()) or ""
  local is_json = string.find(headers:get("content-type") or "", "^application/json")
  local reported = is_json and decode_object(text)
  if reported then return failure_of_status(reported) end
  local grpc_status = tonumber((headers:get("grpc-status")))
  if grpc_status and not state.refused then return failure_of_status({code = grpc_status}) end
  return failure_of_proxy(status, text, state)
end

local function write_failure(handle, state, status, request_id)
  -- An answer to HEAD has no body to wait for, and one must not be made. Headers taken before body() are dead after it.
  local body = state.method ~= "HEAD" and handle:body(true) or nil
  local failure = completed(failure_of(handle, body, state, status))
  local headers = handle:headers()
  strip(headers, is_hidden)
  headers:replace(":status", tostring(failure.status))
  headers:replace("content-type", "application/json")
  if failure.retry_after then headers:replace("retry-after", failure.retry_after) end
  if state.anthropic and failure.retryable == "false" then headers:replace("x-should-retry", "false") end
  if body then
    local envelope = state.anthropic and anthropic_envelope or native_envelope
    body:setBytes(envelope(failure, request_id))
  end
end

-- gRPC's status and text travel on as trailers, which HTTP/2 clients would see.
local function drop_trailers(handle)
  local trailers = handle:trailers()
  if trailers then strip(trailers, function() return true end) end
end

local function write_success(handle, headers)
  local override = tonumber((headers:get("x-http-status")))
  strip(headers, is_hidden)
  if not override or override < 200 or override > 299 then return end
  headers:replace(":status", tostring(override))
  if override == 204 then
    handle:body(true):setBytes("")
    headers = handle:headers()
    headers:remove("content-type")
    headers:replace("content-length", "0") -- or the compressor would write its own empty body
  end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local state = handle:streamInfo():dynamicMetadata():get(NAMESPACE) or {}
  local status = tonumber((headers:get(":status")))
  -- A replayed answer keeps the id of the first one.
  local request_id = headers:get("x-hasp-request-id") or state.request_id or mint(handle)
  headers:replace("x-request-id", request_id)
  if state.anthropic then headers:replace("request-id", request_id) end
  if status >= 400 or state.refused then
    write_failure(handle, state, status, request_id)
  else
    write_success(handle, headers)
  end
  drop_trailers(handle) -- last: it waits for the end of a stream, which passes meanwhile
end
