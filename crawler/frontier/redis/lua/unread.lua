-- ARGV: cursor. About 1,000 URLs: the scopes of pages that were not read again (not modified, not due) are kept. Cursor.
local found = redis.call('HSCAN', URLS, ARGV[1], 'COUNT', 1000)
for i = 1, #found[2], 2 do
  local url = cmsgpack.unpack(found[2][i + 1])
  if url[KIND] == 0 and (url[OUTCOME] == 'not_modified' or url[REASON] == 'not_due') then
    redis.call('SADD', R .. 'unread', scope_of(url))
  end
end
return found[1]
