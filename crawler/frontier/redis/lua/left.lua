-- ARGV: cursor. About 1,000 URLs of the last published run: the scopes of pages and seeds that are not known now are kept.
-- Cursor, and how many scopes that are by now.
if E == '' then return {'0', 0} end
local found = redis.call('HSCAN', EARLIER, ARGV[1], 'COUNT', 1000)
for i = 1, #found[2], 2 do
  local url = cmsgpack.unpack(found[2][i + 1])
  if url[KIND] == 0 and (url[SEED] == 1 or is_page(url)) and redis.call('HEXISTS', URLS, found[2][i]) == 0 then
    if cjson.decode(url[FIXED])[2] ~= '' then redis.call('SADD', R .. 'left', scope_of(url)) end
  end
end
return {found[1], redis.call('SCARD', R .. 'left')}
