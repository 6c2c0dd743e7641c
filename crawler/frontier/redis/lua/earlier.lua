-- ARGV: cursor. About 1,000 URLs of the last published run: cursor, and those of them that are pages.
if E == '' then return {'0', {}} end
local found = redis.call('HSCAN', EARLIER, ARGV[1], 'COUNT', 1000)
local rows = {}
for i = 1, #found[2], 2 do
  local url = cmsgpack.unpack(found[2][i + 1])
  if is_page(url) then tell(rows, found[2][i], url) end
end
return {found[1], rows}
