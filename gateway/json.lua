-- As much JSON as the edge needs: decode_object() and quote() for errors, is_json_object() for bodies; and is_utf8() for
-- paths and queries. Read before edge.lua.

local NULL = {}
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

-- Whether a text is a JSON object (RFC 8259). The transcoder also takes bare names, single quotes and trailing commas.
-- Plain byte loops, which LuaJIT compiles: a mebibyte takes 2 to 20 ms, a usual body some microseconds.

local byte = string.byte
local MAX_DEPTH = 32 -- an object in a Struct is three messages deep, and a service reads messages to a depth of 100

local function after_space(text, at)
  local char = byte(text, at)
  while char == 32 or char == 10 or char == 13 or char == 9 do
    at = at + 1
    char = byte(text, at)
  end
  return at, char
end

-- The place after the string that begins at `at`, or nil.
local function after_string(text, at)
  at = at + 1
  while true do
    local char = byte(text, at)
    if not char or char < 32 then return nil end
    if char == 34 then return at + 1 end
    if char == 92 then
      local kind = byte(text, at + 1)
      if kind == 117 then -- \u
        if not string.find(text, "^%x%x%x%x", at + 2) then return nil end
        at = at + 6
      elseif kind and ESCAPES[string.char(kind)] then
        at = at + 2
      else
        return nil
      end
    else
      at = at + 1
    end
  end
end

local function after_digits(text, at)
  local from, char = at, byte(text, at)
  while char and char >= 48 and char <= 57 do
    at = at + 1
    char = byte(text, at)
  end
  if at == from then return nil end
  return at, char
end

local function after_number(text, at)
  if byte(text, at) == 45 then at = at + 1 end
  local char
  if byte(text, at) == 48 then -- no leading zeros
    at = at + 1
    char = byte(text, at)
  else
    at, char = after_digits(text, at)
  end
  if char == 46 then at, char = after_digits(text, at + 1) end
  if at and (char == 101 or char == 69) then
    local sign = byte(text, at + 1)
    at = after_digits(text, (sign == 43 or sign == 45) and at + 2 or at + 1)
  end
  return at
end

local function after_word(text, at, char)
  local word = char == 116 and "true" or char == 102 and "false" or "null"
  if string.sub(text, at, at + #word - 1) == word then return at + #word end
end

local function after_key(text, at)
  at = after_string(text, at)
  if not at then return nil end
  local colon
  at, colon = after_space(text, at)
  if colon == 58 then return at + 1 end
end

local function is_json_object(text)
  if not string.find(text, "^[ \t\r\n]*{") then return false end -- `null` would be a patch that changes nothing
  local at, depth, closers = 1, 0, {}
  local expected = "value"
  while at do
    local char
    at, char = after_space(text, at)
    if not char then return expected == "comma" and depth == 0 end
    if expected == "comma" then
      if depth == 0 then return false end
      if char == closers[depth] then
        depth = depth - 1
      elseif char == 44 then
        expected = closers[depth] == 125 and "key" or "value"
      else
        return false
      end
      at = at + 1
    elseif (expected == "first key" and char == 125) or (expected == "first value" and char == 93) then
      depth = depth - 1
      expected = "comma"
      at = at + 1
    elseif expected == "key" or expected == "first key" then
      if char ~= 34 then return false end
      at = after_key(text, at)
      expected = "value"
    elseif char == 123 or char == 91 then
      if depth == MAX_DEPTH then return false end
      depth = depth + 1
      closers[depth] = char + 2 -- { and }, [ and ] are two apart
      expected = char == 123 and "first key" or "first value"
      at = at + 1
    else
      expected = "comma"
      if char == 34 then
        at = after_string(text, at)
      elseif char == 45 or (char >= 48 and char <= 57) then
        at = after_number(text, at)
      else
        at = after_word(text, at, char)
      end
    end
  end
  return false
end

-- Whether bytes are UTF-8 (RFC 3629): nothing overlong, no surrogates.
local function is_utf8(text)
  local at, length = 1, #text
  while at <= length do
    local first = byte(text, at)
    local more, low, high = 0, 0x80, 0xBF
    if first >= 0xC2 and first <= 0xDF then
      more = 1
    elseif first >= 0xE0 and first <= 0xEF then
      more = 2
      if first == 0xE0 then low = 0xA0 elseif first == 0xED then high = 0x9F end
    elseif first >= 0xF0 and first <= 0xF4 then
      more = 3
      if first == 0xF0 then low = 0x90 elseif first == 0xF4 then high = 0x8F end
    elseif first >= 0x80 then
      return false
    end
    for place = at + 1, at + more do
      local char = byte(text, place)
      if not char or char < low or char > high then return false end
      low, high = 0x80, 0xBF
    end
    at = at + more + 1
  end
  return true
end
