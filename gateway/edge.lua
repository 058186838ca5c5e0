-- The edge's own work: mint the request id, keep gRPC and internal headers out, and turn every failure, a service's or
-- the proxy's, into the one envelope. An error in here fails open, so tests assert that lua.errors stays 0.

local NAMESPACE = "hasp.edge"
local ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" -- Crockford's base 32, as ULIDs use it
local NULL = {}

-- code = {HTTP status, native type, sentence for callers when the service sent none}
local CODES = {
  VALIDATION_FAILED = {400, "invalid_request", "The request is not valid."},
  MALFORMED_JSON = {400, "invalid_request", "The request body could not be read as the JSON this operation expects."},
  UNSUPPORTED_PARAMETER = {400, "invalid_request", "A parameter is not supported by this operation."},
  PHI_IN_TOOL_SCHEMA = {400, "invalid_request", "A tool definition contains protected health information."},
  INVALID_API_KEY = {401, "unauthorized", "The API key is missing or not valid."},
  BAA_REQUIRED = {402, "payment_required", "A signed Business Associate Agreement is required."},
  AI_CREDITS_EXHAUSTED = {402, "payment_required", "The AI credits of this cycle are used up."},
  MISSING_SCOPE = {403, "forbidden", "The credential does not permit this operation."},
  SCOPE_ESCALATION = {403, "forbidden", "A key cannot grant a scope it does not hold."},
  AGENT_NOT_PERMITTED = {403, "forbidden", "Agent credentials may not call this path."},
  PHI_BLOCKED = {403, "forbidden", "The request contains protected health information."},
  OPUS_NOT_ENABLED = {403, "forbidden", "Opus models are not enabled for this organization."},
  TOOL_NOT_IN_SCOPE = {403, "forbidden", "A tool is not within the credential's grants."},
  DELEGATION_NOT_PERMITTED = {403, "forbidden", "This delegation is not permitted."},
  RESOURCE_NOT_FOUND = {404, "not_found", "The resource was not found."},
  ROUTE_NOT_FOUND = {404, "not_found", "No such path."},
  METHOD_NOT_ALLOWED = {405, "invalid_request", "This path does not support this method."},
  REQUEST_TIMEOUT = {408, "invalid_request", "The request did not arrive in time."},
  CONCURRENT_MODIFICATION = {409, "conflict", "The resource was changed meanwhile."},
  REQUEST_IN_PROGRESS = {409, "conflict", "The first request with this Idempotency-Key is still running."},
  DUPLICATE_REQUEST = {409, "conflict", "A request with this Idempotency-Key has already run."},
  MODEL_RETIRED = {410, "gone", "The model is retired."},
  REQUEST_TOO_LARGE = {413, "invalid_request", "The request body is too large."},
  UNSUPPORTED_MEDIA_TYPE = {415, "invalid_request", "Request bodies must be application/json."},
  AGENT_NAME_TAKEN = {422, "unprocessable", "An active agent has this name."},
  AGENT_ARCHIVED = {422, "unprocessable", "The agent is archived."},
  INVALID_SCOPE_TYPE = {422, "unprocessable", "A scope type is not permitted."},
  EXPIRY_IN_PAST = {422, "unprocessable", "The expiry must be in the future."},
  SCOPE_EXCEEDS_PARENT = {422, "unprocessable", "A scope exceeds the parent's."},
  EXPIRY_EXCEEDS_PARENT = {422, "unprocessable", "The expiry exceeds the parent's."},
  CHAIN_DEPTH_EXCEEDED = {422, "unprocessable", "The delegation chain would be too deep."},
  IDEMPOTENCY_KEY_REUSED = {422, "unprocessable", "The Idempotency-Key was used with another body."},
  UPGRADE_REQUIRED = {426, "invalid_request", "HTTP/1.1 or newer is required."},
  RATE_LIMITED = {429, "rate_limited", "Too many requests."},
  CONCURRENCY_LIMIT_REACHED = {429, "rate_limited", "Too many invocations are running."},
  BUDGET_EXCEEDED = {429, "rate_limited", "The budget is used up."},
  HEADERS_TOO_LARGE = {431, "invalid_request", "The request headers are too large."},
  INTERNAL_ERROR = {500, "internal", "An internal error occurred."},
  NOT_IMPLEMENTED = {501, "unavailable", "This operation is not available yet."},
  INFERENCE_UPSTREAM_FAILURE = {502, "unavailable", "The model provider failed."},
  INFERENCE_UNAVAILABLE = {503, "unavailable", "The model provider is not available."},
  PHI_GUARD_UNAVAILABLE = {503, "unavailable", "The PHI guard is not available."},
  SERVICE_UNAVAILABLE = {503, "unavailable", "The service is not available."},
  UPSTREAM_TIMEOUT = {504, "unavailable", "The request took too long."},
}

local RETRYABLE = {RATE_LIMITED = true, CONCURRENCY_LIMIT_REACHED = true, REQUEST_IN_PROGRESS = true}

local TYPES = {
  [400] = "invalid_request", [401] = "unauthorized", [402] = "payment_required", [403] = "forbidden",
  [404] = "not_found", [409] = "conflict", [410] = "gone", [422] = "unprocessable", [429] = "rate_limited",
  [500] = "internal",
}

local ANTHROPIC_TYPES = {
  [401] = "authentication_error", [402] = "permission_error", [403] = "permission_error", [404] = "not_found_error",
  [410] = "not_found_error", [413] = "request_too_large", [429] = "rate_limit_error", [503] = "overloaded_error",
  [504] = "timeout_error",
}

-- What a status without ErrorInfo means; its text is never shown.
local GRPC_CODES = {
  [1] = "SERVICE_UNAVAILABLE", [3] = "VALIDATION_FAILED", [4] = "UPSTREAM_TIMEOUT", [5] = "RESOURCE_NOT_FOUND",
  [6] = "CONCURRENT_MODIFICATION", [7] = "MISSING_SCOPE", [8] = "RATE_LIMITED", [9] = "VALIDATION_FAILED",
  [10] = "CONCURRENT_MODIFICATION", [11] = "VALIDATION_FAILED", [12] = "NOT_IMPLEMENTED",
  [14] = "SERVICE_UNAVAILABLE", [16] = "INVALID_API_KEY",
}

-- The proxy's own refusals, by status. 502 is a broken connection to one of our services, not to a model provider.
local PROXY_CODES = {
  [400] = "VALIDATION_FAILED", [401] = "INVALID_API_KEY", [403] = "MISSING_SCOPE", [404] = "ROUTE_NOT_FOUND",
  [405] = "METHOD_NOT_ALLOWED", [408] = "REQUEST_TIMEOUT", [413] = "REQUEST_TOO_LARGE",
  [415] = "UNSUPPORTED_MEDIA_TYPE", [426] = "UPGRADE_REQUIRED", [429] = "RATE_LIMITED", [431] = "HEADERS_TOO_LARGE",
  [501] = "NOT_IMPLEMENTED", [502] = "SERVICE_UNAVAILABLE", [503] = "SERVICE_UNAVAILABLE", [504] = "UPSTREAM_TIMEOUT",
}

-- JSON ---------------------------------------------------------------------------------------------------------------

local ESCAPES = {['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t"}

local function utf8(point)
  if point < 0x80 then return string.char(point) end
  if point < 0x800 then return string.char(0xC0 + math.floor(point / 0x40), 0x80 + point % 0x40) end
  if point < 0x10000 then
    return string.char(0xE0 + math.floor(point / 0x1000), 0x80 + math.floor(point / 0x40) % 0x40, 0x80 + point % 0x40)
  end
  return string.char(0xF0 + math.floor(point / 0x40000), 0x80 + math.floor(point / 0x1000) % 0x40,
    0x80 + math.floor(point / 0x40) % 0x40, 0x80 + point % 0x40)
end

local decode_value

local function skip_space(text, at)
  return string.find(text, "[^ \t\r\n]", at) or #text + 1
end

local function decode_string(text, at)
  local parts, from = {}, at + 1
  while true do
    local stop = string.find(text, '[%c"\\]', from)
    if not stop then error("open string") end
    parts[#parts + 1] = string.sub(text, from, stop - 1)
    local found = string.sub(text, stop, stop)
    if found == '"' then return table.concat(parts), stop + 1 end
    if found == "\\" then
      local kind = string.sub(text, stop + 1, stop + 1)
      if kind == "u" then
        local point = tonumber(string.match(text, "^%x%x%x%x", stop + 2) or error("bad escape"), 16)
        from = stop + 6
        if point >= 0xD800 and point < 0xDC00 then
          local low = tonumber(string.match(text, "^\\u(%x%x%x%x)", from) or error("lone surrogate"), 16)
          point = 0x10000 + (point - 0xD800) * 0x400 + (low - 0xDC00)
          from = from + 6
        end
        parts[#parts + 1] = utf8(point)
      else
        parts[#parts + 1] = ESCAPES[kind] or error("bad escape")
        from = stop + 2
      end
    elseif found == "\127" then
      parts[#parts + 1] = found
      from = stop + 1
    else
      error("control character")
    end
  end
end

local function decode_members(text, at, close, depth)
  local result, index = {}, 0
  at = skip_space(text, at + 1)
  if string.sub(text, at, at) == close then return result, at + 1 end
  while true do
    local key
    if close == "}" then
      if string.sub(text, at, at) ~= '"' then error("key expected") end
      key, at = decode_string(text, at)
      at = skip_space(text, at)
      if string.sub(text, at, at) ~= ":" then error("colon expected") end
      at = at + 1
    else
      index = index + 1
      key = index
    end
    result[key], at = decode_value(text, skip_space(text, at), depth + 1)
    at = skip_space(text, at)
    local mark = string.sub(text, at, at)
    if mark == close then return result, at + 1 end
    if mark ~= "," then error("comma expected") end
    at = skip_space(text, at + 1)
  end
end

function decode_value(text, at, depth)
  if depth > 32 then error("too deep") end
  local first = string.sub(text, at, at)
  if first == '"' then return decode_string(text, at) end
  if first == "{" then return decode_members(text, at, "}", depth) end
  if first == "[" then return decode_members(text, at, "]", depth) end
  for word, value in pairs({["true"] = true, ["false"] = false, null = NULL}) do
    if string.sub(text, at, at + #word - 1) == word then return value, at + #word end
  end
  local number = string.match(text, "^-?%d+%.?%d*[eE]?[+-]?%d*", at)
  return tonumber(number) or error("value expected"), at + #number
end

-- The decoded object, or nil when `text` is not exactly one JSON object.
local function decode_object(text)
  if type(text) ~= "string" or not string.find(text, "^%s*{") then return nil end
  local fine, value, at = pcall(decode_value, text, skip_space(text, 1), 0)
  if fine and skip_space(text, at) > #text then return value end
  return nil
end

local function quote(text)
  return '"' .. string.gsub(text, '[%c"\\]', function(char)
    if char == '"' or char == "\\" then return "\\" .. char end
    return string.format("\\u%04x", string.byte(char))
  end) .. '"'
end

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

-- The code that refuses the request before anything else looks at it, or nil.
local function refusal(headers, limit)
  local media_type = string.lower(headers:get("content-type") or "")
  if string.find(media_type, "^application/grpc") then return "UNSUPPORTED_MEDIA_TYPE" end
  local length = tonumber((headers:get("content-length")))
  if length and limit and length > limit then return "REQUEST_TOO_LARGE" end
  local method = headers:get(":method")
  local has_body = (length and length > 0) or headers:get("transfer-encoding")
  if has_body and media_type ~= "" and (method == "POST" or method == "PUT" or method == "PATCH") then
    if string.match(media_type, "^([^;%s]*)") ~= "application/json" then return "UNSUPPORTED_MEDIA_TYPE" end
  end
  return nil
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local path = string.match(headers:get(":path") or "", "^[^?#]*")
  local limit = handle:metadata():get("limit_bytes")
  local request_id = mint(handle, (headers:get("x-request-id")))
  strip(headers, is_internal)
  headers:replace("x-request-id", request_id)

  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set(NAMESPACE, "request_id", request_id)
  metadata:set(NAMESPACE, "anthropic", is_anthropic(path))
  metadata:set(NAMESPACE, "method", headers:get(":method"))
  if limit then -- a route of ours, so the path is not a stranger's text
    metadata:set(NAMESPACE, "limit_bytes", limit)
    metadata:set(NAMESPACE, "path", path)
  end

  local code = refusal(headers, limit)
  if code then
    metadata:set(NAMESPACE, "refused", code)
    headers:remove("content-type") -- for a gRPC request the proxy would answer 200 with a grpc-status
    handle:respond({[":status"] = tostring(CODES[code][1])}, "")
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
      }
    end
  end
  return {code = code}
end

-- The proxy's text is read for one thing only: which parameter was wrong.
local function failure_of_proxy(status, text, state)
  local code = state.refused or PROXY_CODES[status]
  if status == 400 then
    local name = string.match(text, 'Could not find field "([%w_.%-]+)" in the type')
      or string.match(text, "Cannot set '([%w_]+)' for type") -- given twice
      or string.match(text, 'of the field ([%w_.]+) is conflicting with') -- in the query or path, and in the body
    if name then
      return {code = "UNSUPPORTED_PARAMETER", param = name, message = "The parameter '" .. name .. "' is not supported."}
    end
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

function envoy_on_response(handle)
  local headers = handle:headers()
  local state = handle:streamInfo():dynamicMetadata():get(NAMESPACE) or {}
  local status = tonumber((headers:get(":status")))
  local override = tonumber((headers:get("x-http-status")))
  -- A replayed answer keeps the id of the first one.
  local request_id = headers:get("x-hasp-request-id") or state.request_id or mint(handle)
  headers:replace("x-request-id", request_id)
  if state.anthropic then headers:replace("request-id", request_id) end

  if status >= 400 or state.refused then
    write_failure(handle, state, status, request_id)
    return
  end
  strip(headers, is_hidden)
  if override and override >= 200 and override <= 299 then
    headers:replace(":status", tostring(override))
    if override == 204 then
      handle:body(true):setBytes("")
      headers = handle:headers()
      headers:remove("content-type")
      headers:replace("content-length", "0") -- or the compressor would write its own empty body
    end
  end
end
