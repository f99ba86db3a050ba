local spec = obj.spec or {}
local paused = spec.paused == true

local actions = {}
actions["restart"] = { ["disabled"] = paused, ["iconClass"] = "fa fa-fw fa-redo" }
actions["pause"] = { ["disabled"] = paused, ["iconClass"] = "fa fa-fw fa-pause-circle" }
actions["resume"] = { ["disabled"] = not paused, ["iconClass"] = "fa fa-fw fa-play-circle" }
return actions
