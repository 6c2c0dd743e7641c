-- ARGV: cursor. About 1,000 URLs: those pending in a scope of `left` are asked whole. Cursor.
local found = redis.call('HSCAN', URLS, ARGV[1], 'COUNT', 1000)
for i = 1, #found[2], 2 do
  local url = cmsgpack.unpack(found[2][i + 1])
  if url[OUTCOME] == '' and url[KIND] == 0 and redis.call('SISMEMBER', R .. 'left', scope_of(url)) == 1 then
    ask_whole(url)
    redis.call('HSET', URLS, found[2][i], cmsgpack.pack(url))
  end
end
return found[1]
