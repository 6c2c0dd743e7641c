-- ARGV: cursor, and whether all of them are wanted. About 300 pages of the last published run that led to what was no page:
-- cursor, and what of that is not known now. Not all: only in a scope of `unread`.
local found = redis.call('HSCAN', P .. E .. ':below', ARGV[1], 'COUNT', 300)
local rows = {}
for i = 2, #found[2], 2 do
  local keys = found[2][i]
  for j = 1, #keys, 16 do
    local key = string.sub(keys, j, j + 15)
    if redis.call('HEXISTS', URLS, key) == 0 then
      local url = cmsgpack.unpack(redis.call('HGET', EARLIER, key))
      if ARGV[2] == '1' or redis.call('SISMEMBER', R .. 'unread', scope_of(url)) == 1 then tell(rows, key, url) end
    end
  end
end
return {found[1], rows}
