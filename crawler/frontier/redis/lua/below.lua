-- ARGV: keys of pages of the last published run. Place of each, and the URLs that it led to and that were no pages; false
-- where `index` has to be asked first.
if E == '' then return {} end
if redis.call('HGET', KEYS[1], 'indexed') ~= E then return false end
local rows = {}
for i = 1, #ARGV[1] / 16 do
  local stored = redis.call('HGET', EARLIER, string.sub(ARGV[1], 16 * i - 15, 16 * i))
  local keys = stored and redis.call('HGET', P .. E .. ':below', cjson.decode(cmsgpack.unpack(stored)[FIXED])[1])
  for j = 1, keys and #keys or 0, 16 do
    local url = redis.call('HGET', EARLIER, string.sub(keys, j, j + 15))
    rows[#rows + 1] = i - 1
    rows[#rows + 1] = cmsgpack.unpack(url)[FIXED]
  end
end
return rows
