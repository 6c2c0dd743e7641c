-- What all scripts of the shared frontier have in common. KEYS[1] is `crawler:{job}:meta`: every other key has the
-- same hash tag, so that all of a job is in one slot of a Cluster, and a script sees one moment of it.
--
-- Of the job   meta           schema, salt, generation, run_id, finished, extra, oldest, token; earlier: the generation of the
--                             last published run, indexed: that whose `below` is whole, indexing: how far it is
--              h:<host>       g generation, t token, k worker, s seen, d due, c closed, p pause, j state, jg its generation,
--                             f whether failures before this run are forgiven
--              r:<host>       origin -> robots.txt
--              hosts          every host, by when it was last touched
--              workers        incarnations, by when they expire;  work those of them that crawl
--              w:<worker>     who it is, what it was last answered, the last token given when it last lost its leases
--              held:<worker>  host -> token
--              wanted         hosts that somebody asks for by name, by when last;  short workers that lack hosts, likewise
--              stale          generations whose keys are still to be unlinked
--              verdict        run_id, code, manifest of the last run that came to its end
-- Of the run   <g>:urls       key -> record;  <g>:q:<host> fresh, <g>:l:<host> to be asked later
--              <g>:ready      free hosts with something to do, by when
--              <g>:members    name -> incarnation and who that is;  <g>:seeding name -> seeds not read to their end; seeded those that were
--              <g>:accounts   incarnation -> what its work has come to;  <g>:session what its present workers began with
--              <g>:part:<f>   keys of the URLs whose records stand in the open part f
--              <g>:counts <g>:tally <g>:files <g>:traps <g>:domains <g>:closer
--              <g>:carrier    who carries the pages of the last published run over, `carried` and who, or `done`
--              <g>:left <g>:unread scopes in which that run had what this one does not know, or pages are not read again
-- Of the last published run, as long as it is that, <g>:urls stays, and <g>:below: page -> keys of what it led to and was
-- no page.
--
-- Times are texts on their way through: a Lua number made text keeps 14 digits, and a Unix time has 16.
local P = string.sub(KEYS[1], 1, -5)
local generations = redis.call('HMGET', KEYS[1], 'generation', 'earlier')
local G, E = generations[1] or '0', generations[2] or ''
if ARGV[#ARGV] ~= '' and ARGV[#ARGV] ~= G then
  -- The store was emptied, has forgotten the run's beginning, or another start has given the run up.
  return redis.error_reply('GONE ' .. G)
end
local R = P .. G .. ':'
local URLS, READY, EARLIER = R .. 'urls', R .. 'ready', P .. E .. ':urls'
-- Of a URL that is done, and only where something is remembered of it, MEMORY: as packed.py has it.
local ID, DEPTH, PRIORITY, SEED, LATE, KIND, ATTEMPT, NOT_BEFORE, OUTCOME, REASON, STATUS, FIXED, ROUTE, VALID, MEMORY =
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
-- A URL's place among the fresh ones of its host: its priority, then the order in which URLs came (2^40 of them). Of
-- 53 bits 13 are left for priorities: 4,096 as they are and as many of what traps have made later (rules/traps.py).
local BAND, DEMOTED, MOST = 1099511627776, 1048576, 4095

local function whole(n) return string.format('%.0f', n) end
local function exact(n) return string.format('%.17g', n) end

-- The server's clock, seconds; a test gives its own.
local function clock(given)
  if given ~= '' then return tonumber(given) end
  local t = redis.call('TIME')
  return tonumber(t[1]) + tonumber(t[2]) / 1000000
end

-- Seconds: nobody is to be asked later than 2 days from the beginning of a run, `oldest` being 30 days before that. What
-- says otherwise was written by a clock that was wrong.
local LATEST = 32 * 86400

local function load_host(name)
  local v = redis.call('HMGET', P .. 'h:' .. name, 'g', 't', 'k', 's', 'd', 'c', 'p')
  local h = {name = name, fresh = v[1] ~= G, known = v[1] and true or false, token = v[2] or '', worker = v[3] or '',
    seen = v[4] == '1', due = v[5] or '0', closed = v[6] or '', pause = v[7] or '0'}
  if h.fresh then
    -- As an earlier run left it, or never met: a new run judges anew, and keeps what was learnt in the last 30 days.
    h.token, h.worker, h.seen, h.closed = '', '', false, ''
    local oldest = tonumber(redis.call('HGET', KEYS[1], 'oldest') or '0')
    if tonumber(h.due) < oldest then
      h.due, h.pause, h.forgotten = '0', '0', true
    elseif tonumber(h.due) > oldest + LATEST then
      h.due = exact(oldest + LATEST)
    end
  end
  return h
end

-- A row of connection failures counts for 3 days, what else is kept for 30: seconds between the two.
local FORGIVE = 27 * 86400

-- What is known of a host: due, state, and whether that is of this run (2), of an earlier one (1), or of one whose
-- failures are forgiven (0).
local function learnt(name)
  local v = redis.call('HMGET', P .. 'h:' .. name, 'd', 'j', 'jg', 'f')
  return v[1] or '0', v[2] or '', v[3] == G and 2 or v[4] == '1' and 0 or 1
end

-- Write a host that this run has not met yet. `at` is the server's clock.
local function adopt(h, at)
  if not h.fresh then return end
  local key = P .. 'h:' .. h.name
  if h.forgotten then redis.call('HDEL', key, 'j', 'jg') end
  local forgiven = tonumber(h.due) < tonumber(redis.call('HGET', KEYS[1], 'oldest') or '0') + FORGIVE
  redis.call('HSET', key, 'f', forgiven and '1' or '0', 'g', G, 't', h.token, 'k', h.worker, 's', h.seen and '1' or '0', 'd', h.due, 'c', h.closed,
    'p', h.pause)
  redis.call('ZADD', P .. 'hosts', at, h.name)
  h.fresh = false
end

-- A free host with something to do is offered at its due time, or when the first of its URLs may be asked.
local function offer(h)
  if h.token ~= '' then return end
  local fresh, later = redis.call('ZCARD', R .. 'q:' .. h.name), redis.call('ZCARD', R .. 'l:' .. h.name)
  if fresh + later == 0 then
    redis.call('ZREM', READY, h.name)
    return
  end
  local ready = '0'
  if h.closed == '' then
    ready = h.due
    if fresh == 0 then
      local first = redis.call('ZRANGE', R .. 'l:' .. h.name, 0, 0, 'WITHSCORES')[2]
      if tonumber(first) > tonumber(ready) then ready = first end
    end
  end
  redis.call('ZADD', READY, ready, h.name)
end

-- What a script counts, written once at its end.
local counted, tallied = {}, {}
local function count(name, more) counted[name] = (counted[name] or 0) + more end
local function tally(name, more) tallied[name] = (tallied[name] or 0) + more end
local function write_counts()
  for name, more in pairs(counted) do
    if more ~= 0 then redis.call('HINCRBY', R .. 'counts', name, whole(more)) end
  end
  for name, more in pairs(tallied) do redis.call('HINCRBY', R .. 'tally', name, whole(more)) end
  counted, tallied = {}, {}
end

local function lease(h, token, worker, at)
  adopt(h, at)
  count('leased', 1)
  h.token, h.worker = token, worker
  redis.call('HSET', P .. 'h:' .. h.name, 't', token, 'k', worker)
  redis.call('HSET', P .. 'held:' .. worker, h.name, token)
  redis.call('ZREM', READY, h.name)
end

local function free(h)
  count('leased', -1)
  redis.call('HDEL', P .. 'held:' .. h.worker, h.name)
  h.token, h.worker = '', ''
  redis.call('HSET', P .. 'h:' .. h.name, 't', '', 'k', '')
end

-- Give back up to `most` hosts of `worker`, each due one delay after `at`: its holder may just have asked it, and
-- never told (what slow hosts and a Crawl-delay ask for beside that is their `pause`). How many are left?
local function give_up(worker, at, delay, most)
  local key = P .. 'held:' .. worker
  local cursor, done = '0', 0
  repeat
    local found = redis.call('HSCAN', key, cursor, 'COUNT', 200)
    cursor = found[1]
    for i = 1, #found[2], 2 do
      local h = load_host(found[2][i])
      if h.token == found[2][i + 1] and h.worker == worker then
        free(h)
        local due = at + delay + tonumber(h.pause)
        if due > tonumber(h.due) then
          h.due = exact(due)
          redis.call('HSET', P .. 'h:' .. h.name, 'd', h.due)
        end
        offer(h)
      else
        redis.call('HDEL', key, found[2][i])
      end
      done = done + 1
    end
  until cursor == '0' or done >= most
  write_counts()
  return redis.call('HLEN', key)
end

local function is_alive(worker, at)
  local until_ = redis.call('ZSCORE', P .. 'workers', worker)
  return until_ and tonumber(until_) > at
end

local function forget_worker(worker)
  redis.call('ZREM', P .. 'workers', worker)
  redis.call('ZREM', P .. 'short', worker)
  redis.call('SREM', P .. 'work', worker)
end

-- Seconds for which a host that is asked for by name is kept for who asks (who wants it asks four times a second), and
-- between two rounds in which a worker gives hosts to those that lack some.
local WANTED, KEPT, ROUND = P .. 'wanted', 2, 2

-- Hosts of `worker` that others want: by name (a robots.txt leads there), or because it holds more than its share and
-- others lack hosts.
local function recalled(worker, at)
  local names = {}
  redis.call('ZREMRANGEBYSCORE', WANTED, '-inf', exact(at - 10 * KEPT))
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', WANTED, exact(at - KEPT), '+inf')) do
    if load_host(name).worker == worker then names[#names + 1] = name end
  end
  local present = redis.call('SCARD', P .. 'work')
  if present < 2 then return names end
  local held = redis.call('HLEN', P .. 'held:' .. worker)
  local all = redis.call('ZCARD', READY) + tonumber(redis.call('HGET', R .. 'counts', 'leased') or '0')
  local spare = held - math.ceil(all / present)
  if spare <= 0 then return names end
  local answers = P .. 'w:' .. worker
  if tonumber(redis.call('HGET', answers, 'gave') or '0') > at - ROUND then return names end
  local lacking = 0
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', P .. 'short', exact(at - KEPT), '+inf')) do
    if other ~= worker then lacking = lacking + tonumber(redis.call('HGET', P .. 'w:' .. other, 'short') or '0') end
  end
  if lacking == 0 then return names end
  redis.call('HSET', answers, 'gave', exact(at))
  for _, name in ipairs(redis.call('HRANDFIELD', P .. 'held:' .. worker, whole(math.min(spare, lacking)))) do
    names[#names + 1] = name
  end
  return names
end

-- Leases live by one heartbeat of their holder, not by a renewal each; who has not been heard of is given up.
local function reap(at, delay, most)
  local left = 0
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', P .. 'workers', '-inf', at, 'LIMIT', 0, 8)) do
    local rest = give_up(worker, at, delay, most)
    left = left + rest
    if rest == 0 then
      forget_worker(worker)
      -- It may only have been cut off: who it is outlasts that for a day.
      redis.call('HDEL', P .. 'w:' .. worker, 'question', 'settled', 'answer')
      redis.call('EXPIRE', P .. 'w:' .. worker, 86400)
    end
  end
  return left
end

-- It crawls from now on: hosts, pages and pace are shared with it. A lead has workers that do.
local function crawls(worker)
  if redis.call('HGET', P .. 'w:' .. worker, 'role') ~= 'lead' then redis.call('SADD', P .. 'work', worker) end
end

-- A token that none given before is above, and all given later are. Never used twice, also when the store forgets what it
-- acknowledged: its clock goes on.
local function latest_token(at, more)
  local given = tonumber(redis.call('HGET', KEYS[1], 'token') or '0') + more
  local token = whole(math.max(given, math.floor(at * 1000000)))
  -- A store that was emptied has no job any more, and half of one would be damage.
  if redis.call('HEXISTS', KEYS[1], 'schema') == 1 then redis.call('HSET', KEYS[1], 'token', token) end
  return token
end

-- All that `worker` has been given until now is no longer its own. It is told with every answer from here on: they may
-- overtake each other on their way.
local function lapse(worker, at)
  redis.call('HSET', P .. 'w:' .. worker, 'lapsed', latest_token(at, 0))
end

-- A sign of life. Where it comes too late leases that have run out are not taken up again: all go back. Up to which
-- token has it lost what it was given?
local function beat(worker, at, life, delay)
  local until_ = redis.call('ZSCORE', P .. 'workers', worker)
  local late = not until_ or tonumber(until_) <= at
  if late then
    give_up(worker, at, delay, 1000000000)
    lapse(worker, at)
    redis.call('HDEL', P .. 'w:' .. worker, 'question')
    redis.call('PERSIST', P .. 'w:' .. worker)
    if redis.call('HGET', P .. 'w:' .. worker, 'working') == '1' then crawls(worker) end
  end
  redis.call('ZADD', P .. 'workers', at + life, worker)
  return redis.call('HGET', P .. 'w:' .. worker, 'lapsed') or '0'
end

local function rank(url)
  local priority, later = url[PRIORITY], 0
  if priority >= DEMOTED then priority, later = priority - DEMOTED, MOST + 1 end
  return whole((math.min(priority, MOST) + later) * BAND + url[ID])
end

-- What a later run starts from.
local function is_page(url)
  return url[KIND] == 0 and (url[OUTCOME] == 'not_modified' or url[REASON] == 'not_due'
    or (url[OUTCOME] == 'fetched' and url[STATUS] >= 200 and url[STATUS] <= 299))
end

-- A URL of the last published run, for who asks: key, depth, seed, fixed, route, validators, outcome, reason, status, memory,
-- and of a seed whether it is one now, else -1.
local function tell(rows, key, url)
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

local function scope_of(url)
  local scope = cjson.decode(url[ROUTE])[3]
  return scope == cjson.null and cjson.decode(url[FIXED])[2] or scope
end

-- Without the words of its server, and whether it is due or not: so that all of it comes.
local function ask_whole(url)
  url[VALID] = ''
  if string.find(url[FIXED], '"not_due"', 1, true) then
    local fixed = cjson.decode(url[FIXED])
    if fixed[4] == 'not_due' then
      fixed[4], fixed[5] = cjson.null, cjson.null
      url[FIXED] = cjson.encode(fixed)
    end
  end
end

-- A known URL is met again: the better of the two ways to it counts.
local function meet(url, host, key, depth, priority, seed, route)
  local changed = false
  if seed == 1 and url[SEED] == 0 then
    url[SEED], changed = 1, true
    count('seeds', 1)
    count('discovered', -1)
  end
  if url[OUTCOME] ~= '' then
    if depth < url[DEPTH] and url[LATE] == 0 then
      url[LATE], changed = 1, true
      tally('depth_late', 1)
    end
    return changed
  end
  if depth < url[DEPTH] then
    url[DEPTH], url[ROUTE], changed = depth, route, true
    -- Nearer to a seed than the last published run had it: links that the depth cut there may count now.
    if E ~= '' then ask_whole(url) end
  end
  if priority < url[PRIORITY] then
    url[PRIORITY], changed = priority, true
    redis.call('ZADD', R .. 'q:' .. host, 'XX', rank(url), key)
  end
  return changed
end

-- Put in what is unknown, lower what is pending. How many were new, and which hosts got something?
local function admit(rows, keys, at)
  local new, grown, names = 0, {}, {}
  local next_url = tonumber(redis.call('HGET', R .. 'counts', 'urls') or '0')
  for i, row in ipairs(rows) do
    local host, depth, priority, seed, kind, attempt, fixed, route, valid = unpack(row)
    local key = string.sub(keys, 16 * i - 15, 16 * i)
    local stored = redis.call('HGET', URLS, key)
    if stored then
      local url = cmsgpack.unpack(stored)
      if meet(url, host, key, depth, priority, seed, route) then redis.call('HSET', URLS, key, cmsgpack.pack(url)) end
    else
      new = new + 1
      local url = {next_url + new, depth, priority, seed, 0, kind, attempt, '0', '', '', 0, fixed, route, valid}
      redis.call('HSET', URLS, key, cmsgpack.pack(url))
      redis.call('ZADD', R .. 'q:' .. host, rank(url), key)
      if kind ~= 0 then
        -- It gives no record, so it is no part of the accounting.
        tally('own_pending', 1)
      else
        count('pending', 1)
        count(seed == 1 and 'seeds' or 'discovered', 1)
      end
      if not grown[host] then
        grown[host] = true
        names[#names + 1] = host
      end
    end
  end
  count('urls', new)
  for _, name in ipairs(names) do
    local h = load_host(name)
    if not h.seen then
      adopt(h, at)
      h.seen = true
      redis.call('HSET', P .. 'h:' .. name, 's', '1')
      if name ~= '' then count('hosts', 1) end
    end
    offer(h)
  end
  return new, names
end
