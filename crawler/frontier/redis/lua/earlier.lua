-- ARGV: cursor, 'pages' or 'unnamed'. About 1,000 URLs of the last published run: cursor, then those of them that are
-- pages, or that were none, are not known now and stand in a scope in which a page has not been read again. Of each: key,
-- depth, seed, fixed, route, validators, outcome, reason, status, memory, and of a seed whether it is one now, else -1.
if E == '' then return {'0', {}} end
local found = redis.call('HSCAN', EARLIER, ARGV[1], 'COUNT', 1000)
local rows = {}
for i = 1, #found[2], 2 do
  local key, url = found[2][i], cmsgpack.unpack(found[2][i + 1])
  local wanted = is_page(url)
  if ARGV[2] == 'unnamed' then
    wanted = not wanted and url[KIND] == 0 and url[OUTCOME] ~= '' and redis.call('HEXISTS', URLS, key) == 0
      and redis.call('SISMEMBER', R .. 'unread', scope_of(url)) == 1
  end
  if wanted then
    local is_seed = -1
    if url[SEED] == 1 then
      local stored = redis.call('HGET', URLS, key)
      local now = stored and cmsgpack.unpack(stored)
      is_seed = now and (now[SEED] == 1 or now[KIND] ~= 0) and 1 or 0
    end
    for _, value in ipairs({key, url[DEPTH], url[SEED], url[FIXED], url[ROUTE], url[VALID], url[OUTCOME], url[REASON], url[STATUS],
      url[MEMORY] or '', is_seed}) do
      rows[#rows + 1] = value
    end
  end
end
return {found[1], rows}
