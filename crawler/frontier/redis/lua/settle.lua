-- ARGV: clock, worker, question, life, settlement, keys of done, keys of again, keys of found, delay, what is
-- remembered of those done. All or nothing.
local at = clock(ARGV[1])
local worker, question = ARGV[2], ARGV[3]
local said = cjson.decode(ARGV[5])
local answers = P .. 'w:' .. worker
local lapsed = beat(worker, at, tonumber(ARGV[4]), tonumber(ARGV[9]))
local before = redis.call('HMGET', answers, 'settled', 'answer')
if before[1] == question then
  local answer = cmsgpack.unpack(before[2])
  -- It may have been silent since.
  answer[5] = lapsed
  return answer
end

local hosts, lost, moved = {}, {}, {}
local function host(name)
  if not hosts[name] then hosts[name] = load_host(name) end
  return hosts[name]
end
local missed = {}
for _, claim in ipairs(said.claims) do
  if host(claim[1]).token ~= claim[2] and not missed[claim[1]] then
    missed[claim[1]] = true
    lost[#lost + 1] = claim[1]
  end
end
local ends, differs = {}, {}
for _, mark in ipairs(said.files) do
  local name, start = mark[1], mark[2]
  if not ends[name] then
    local stored = redis.call('HGET', R .. 'files', name)
    ends[name] = stored and string.match(stored, '^%d+') or '0'
  end
  if ends[name] ~= start and not differs[name] then
    differs[name] = true
    moved[#moved + 1] = name
  end
  ends[name] = string.match(mark[3], '^%d+')
end
if #lost + #moved > 0 then return {lost, moved, 0, {}, lapsed, {}, {}} end

local touched, written = {}, {}
local remembered = 0
for i, row in ipairs(said.done) do
  local name, depth, kind, outcome, reason, status, attempt, valid, size, withheld = unpack(row)
  local memory = string.sub(ARGV[10], remembered + 1, remembered + size)
  remembered = remembered + size
  local key = string.sub(ARGV[6], 16 * i - 15, 16 * i)
  local stored = redis.call('HGET', URLS, key)
  local url = stored and cmsgpack.unpack(stored)
  if url and url[OUTCOME] == '' then
    if url[DEPTH] < depth and url[LATE] == 0 then
      url[LATE] = 1
      tally('depth_late', 1)
    end
    url[DEPTH], url[OUTCOME], url[REASON], url[STATUS], url[ATTEMPT], url[VALID] =
      depth, outcome, reason, status, attempt, valid
    if size > 0 then url[MEMORY] = memory end
    redis.call('HSET', URLS, key, cmsgpack.pack(url))
    redis.call('ZREM', R .. 'q:' .. name, key)
    redis.call('ZREM', R .. 'l:' .. name, key)
    touched[name] = true
    if kind == 0 then
      if withheld == 0 then written[#written + 1] = key end
      count('pending', -1)
      count('final', 1)
    else
      tally('own_pending', -1)
    end
  end
end
for i, row in ipairs(said.again) do
  local name, not_before, attempt = unpack(row)
  local key = string.sub(ARGV[7], 16 * i - 15, 16 * i)
  local stored = redis.call('HGET', URLS, key)
  local url = stored and cmsgpack.unpack(stored)
  if url and url[OUTCOME] == '' then
    url[NOT_BEFORE], url[ATTEMPT] = not_before, attempt
    redis.call('HSET', URLS, key, cmsgpack.pack(url))
    redis.call('ZREM', R .. 'q:' .. name, key)
    redis.call('ZREM', R .. 'l:' .. name, key)
    if tonumber(not_before) > 0 then
      redis.call('ZADD', R .. 'l:' .. name, not_before, key)
    else
      redis.call('ZADD', R .. 'q:' .. name, rank(url), key)
    end
    touched[name] = true
  end
end
local new, grown = admit(said.found, ARGV[8], at)
for _, row in ipairs(said.robots) do
  -- A host that nobody has met yet may have a robots.txt: a redirect leads there.
  local h = load_host(row[1])
  adopt(h, at)
  redis.call('HSET', P .. 'r:' .. row[1], row[2], row[3])
end
for _, row in ipairs(said.hosts) do
  local name, token, release, due, closed, pause, state = unpack(row)
  local h = load_host(name)
  h.due, h.closed, h.pause = due, closed, pause
  redis.call('HSET', P .. 'h:' .. name, 'd', due, 'c', closed, 'p', pause, 'j', state, 'jg', G)
  if release == 1 then free(h) end
  touched[name] = true
end
for name in pairs(touched) do
  local h = load_host(name)
  redis.call('ZADD', P .. 'hosts', at, name)
  offer(h)
end
for _, mark in ipairs(said.files) do redis.call('HSET', R .. 'files', mark[1], mark[3]) end
for name, text in pairs(said.evidence) do redis.call('HSET', R .. 'traps', name, text) end
local domains = {}
for name, more in pairs(said.domains) do
  domains[#domains + 1] = name
  domains[#domains + 1] = redis.call('HINCRBY', R .. 'domains', name, whole(more))
end
if said.part ~= '' then
  -- Whose records stand in an open part is known until it is whole: it may be lost with its machine.
  if said.part_closed == 1 then
    redis.call('DEL', R .. 'part:' .. said.part)
  elseif #written > 0 then
    redis.call('APPEND', R .. 'part:' .. said.part, table.concat(written))
  end
end
for name, more in pairs(said.tally) do tally(name, more) end
write_counts()
local answer = {lost, moved, new, grown, lapsed, domains, recalled(worker, at)}
redis.call('HSET', answers, 'settled', question, 'answer', cmsgpack.pack(answer))
return answer
