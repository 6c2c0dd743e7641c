-- ARGV: keys, digests and digests of main texts (8 bytes each) of pages of the last published run that have the one and
-- not the other.
for i = 1, #ARGV[1] / 16 do
  local key = string.sub(ARGV[1], 16 * i - 15, 16 * i)
  local stored = redis.call('HGET', EARLIER, key)
  local url = stored and cmsgpack.unpack(stored)
  local memory = url and url[MEMORY] or ''
  if #memory == 17 and string.sub(memory, 10) == string.sub(ARGV[2], 8 * i - 7, 8 * i) then
    url[MEMORY] = memory .. string.sub(ARGV[3], 8 * i - 7, 8 * i)
    redis.call('HSET', EARLIER, key, cmsgpack.pack(url))
  end
end
return 1
