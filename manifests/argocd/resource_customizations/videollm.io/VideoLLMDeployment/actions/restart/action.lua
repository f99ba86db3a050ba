-- Restarts the pods, and takes up an available update of the layout.
local os = require("os")
if obj.spec.rollout == nil then
  obj.spec.rollout = {}
end
obj.spec.rollout.restartToken = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
