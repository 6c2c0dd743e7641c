-- ARGV: clock, name. Give up the open parts of a worker that is dead, and put the URLs back whose records stand there; its
-- seeds are nobody's any more. How many URLs; -1: nobody of that name has crawled in this run; -2: it is at work. All in
-- one: what is put back may be done again at once, and is then in another part. O(URLs of the part), 5 microseconds each.
local at = clock(ARGV[1])
local name = ARGV[2]
local member = redis.call('HGET', R .. 'members', name)
if not member then return -1 end
if is_alive(string.match(member, '^%S*'), at) then return -2 end
local back = 0
local files = redis.call('HGETALL', R .. 'files')
local touched = {}
for i = 1, #files, 2 do
  local file = files[i]
  if string.sub(file, 1, #name + 7) == 'pages-' .. name .. '-' and string.match(files[i + 1], '^%d+ %d+ 0') then
    local keys = redis.call('GET', R .. 'part:' .. file) or ''
    for j = 1, #keys, 16 do
      local key = string.sub(keys, j, j + 15)
      local url = cmsgpack.unpack(redis.call('HGET', URLS, key))
      if url[OUTCOME] ~= '' then
        back = back + 1
        local status = tonumber(url[STATUS])
        tally('records', -1)
        tally('outcome.' .. url[OUTCOME], -1)
        if url[REASON] ~= '' then tally('reason.' .. url[REASON], -1) end
        if status > 0 then tally('status.' .. whole(math.floor(status / 100)) .. 'xx', -1) end
        if url[OUTCOME] == 'failed' or status >= 500 or status == 429 then tally('failed_or_5xx', -1) end
        if url[MEMORY] then
          local change = ({'new', 'changed', 'unchanged', 'gone'})[math.floor(string.byte(url[MEMORY]) / 16) % 8]
          if change then tally('change.' .. change, -1) end
          url[MEMORY] = nil
        end
        -- The words of its server are of an answer that is lost.
        url[VALID] = ''
        count('final', -1)
        count('pending', 1)
        url[OUTCOME], url[REASON], url[STATUS], url[NOT_BEFORE], url[ATTEMPT] = '', '', 0, '0', 0
        redis.call('HSET', URLS, key, cmsgpack.pack(url))
        local host = cjson.decode(url[FIXED])[2]
        redis.call('ZADD', R .. 'q:' .. host, rank(url), key)
        touched[host] = true
      end
    end
    redis.call('DEL', R .. 'part:' .. file)
    redis.call('HDEL', R .. 'files', file)
  end
end
for host in pairs(touched) do offer(load_host(host)) end
redis.call('HDEL', R .. 'seeding', name)
write_counts()
return back
