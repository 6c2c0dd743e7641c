-- ARGV: keys. The places of those that are seeds, or sitemaps, of the run under way.
local places = {}
for i = 1, #ARGV[1] / 16 do
  local stored = redis.call('HGET', URLS, string.sub(ARGV[1], 16 * i - 15, 16 * i))
  local url = stored and cmsgpack.unpack(stored)
  if url and (url[SEED] == 1 or url[KIND] ~= 0) then places[#places + 1] = i - 1 end
end
return places
