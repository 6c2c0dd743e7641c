-- ARGV: clock, worker, run, the open parts that it has looked for and not found. Nothing is left for it to do: what now?
-- 'over': the run has its verdict. 'gone': another run has begun. 'work': there is more to do. 'wait': for others, with
-- the open parts of the dead that are to be looked for. 'yours': it is the last, and speaks for the run; with what no
-- worker has found: open parts, and whose seeds were not read to their end. For who is led its lead speaks.
local at = clock(ARGV[1])
local worker, run, looked = ARGV[2], ARGV[3], ARGV[4]
if redis.call('HGET', P .. 'verdict', 'run_id') == run then return {'over', {}, {}} end
if redis.call('HGET', KEYS[1], 'run_id') ~= run then return {'gone', {}, {}} end
local answers = P .. 'w:' .. worker
local left = tonumber(redis.call('HGET', R .. 'counts', 'pending') or '0') + tonumber(redis.call('HGET', R .. 'tally', 'own_pending') or '0')
if left > 0 then
  redis.call('HSET', answers, 'working', '1')
  crawls(worker)
  redis.call('DEL', R .. 'closer')
  return {'work', {}, {}}
end
redis.call('HSET', answers, 'working', '0', 'looked', looked)
redis.call('SREM', P .. 'work', worker)
local open = {}
local files = redis.call('HGETALL', R .. 'files')
for i = 1, #files, 2 do
  if string.match(files[i + 1], '^%d+ %d+ 0') then open[#open + 1] = files[i] end
end
table.sort(open)
local all = table.concat(open, ' ')
for _, other in ipairs(redis.call('ZRANGEBYSCORE', P .. 'workers', '(' .. exact(at), '+inf')) do
  local said = redis.call('HMGET', P .. 'w:' .. other, 'name', 'working', 'looked')
  if said[1] and (said[2] == '1' or said[3] ~= all) then return {'wait', open, {}} end
end
if redis.call('HGET', answers, 'role') == 'led' then return {'wait', open, {}} end
local closer = redis.call('GET', R .. 'closer')
if closer and closer ~= worker and is_alive(closer, at) then return {'wait', open, {}} end
redis.call('SET', R .. 'closer', worker)
local owing = redis.call('HGETALL', R .. 'seeding')
return {'yours', open, owing}
