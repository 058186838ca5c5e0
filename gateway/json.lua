-- As much JSON as an error needs: decode_object() and quote(). Read before edge.lua.

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
