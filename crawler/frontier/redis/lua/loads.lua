-- ARGV: cursor. About 1,000 hosts: cursor, then name, URLs pending, due, state, when learnt of each that has some.
local found = redis.call('ZSCAN', P .. 'hosts', ARGV[1], 'COUNT', 1000)
local rows = {}
for i = 1, #found[2], 2 do
  local h = load_host(found[2][i])
  if not h.fresh and h.closed == '' and h.name ~= '' then
    local pending = redis.call('ZCARD', R .. 'q:' .. h.name) + redis.call('ZCARD', R .. 'l:' .. h.name)
    if pending > 0 then
      local due, state, learnt_in = learnt(h.name)
      for _, value in ipairs({h.name, pending, due, state, learnt_in}) do
        rows[#rows + 1] = value
      end
    end
  end
end
return {found[1], rows}
