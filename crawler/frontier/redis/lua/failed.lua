-- ARGV: cursor. About 1,000 URLs: cursor, and which of them failed, or ended with a 5xx or 429.
local found = redis.call('HSCAN', URLS, ARGV[1], 'COUNT', 1000)
local failed = {}
for i = 1, #found[2], 2 do
  local url = cmsgpack.unpack(found[2][i + 1])
  if url[KIND] == 0 and (url[OUTCOME] == 'failed' or (url[OUTCOME] == 'fetched' and (url[STATUS] >= 500 or url[STATUS] == 429))) then
    failed[#failed + 1] = url[FIXED]
  end
end
return {found[1], failed}
