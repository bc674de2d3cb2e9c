-- ARGV: session, user, forget_at in turn: what a caller knows and the record may have lost.
for i = 1, #ARGV, 3 do
  revoke(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]))
end
return 1
