-- The reasons of the contract, and what a status or a proxy's refusal means in them. Read before edge.lua.

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
  [400] = "VALIDATION_FAILED", [403] = "VALIDATION_FAILED", [404] = "ROUTE_NOT_FOUND",
  [405] = "METHOD_NOT_ALLOWED", [408] = "REQUEST_TIMEOUT", [413] = "REQUEST_TOO_LARGE",
  [415] = "UNSUPPORTED_MEDIA_TYPE", [426] = "UPGRADE_REQUIRED", [429] = "RATE_LIMITED", [431] = "HEADERS_TOO_LARGE",
  [501] = "NOT_IMPLEMENTED", [502] = "SERVICE_UNAVAILABLE", [503] = "SERVICE_UNAVAILABLE", [504] = "UPSTREAM_TIMEOUT",
}
