-- Health of a VideoLLMDeployment. The kind follows kstatus: observedGeneration, and the conditions
-- Ready, Reconciling and Stalled, so this says what kstatus says: Healthy is Current, Degraded is
-- Failed, Progressing is InProgress. Loading a large model for half an hour is Progressing; Degraded
-- (which ends a sync) is kept for what does not get better until a person acts. Only a pause has a
-- word of its own, Suspended; a sync waits for its end.
local spec = obj.spec or {}
local status = obj.status
local generation = obj.metadata.generation or 0

if status == nil or (status.observedGeneration or -1) ~= generation then
  return {
    status = "Progressing",
    message = "Waiting for the operator to look at generation " .. generation,
  }
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local function is_true(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end

local function sentence(name)
  local condition = conditions[name]
  if condition == nil then
    return nil
  end
  if condition.message ~= nil and condition.message ~= "" then
    return condition.message
  end
  return condition.reason
end

if is_true("Stalled") then
  return { status = "Degraded", message = sentence("Stalled") }
end
if spec.paused == true then
  return { status = "Suspended", message = sentence("Paused") or "spec.paused is true" }
end
if is_true("Ready") then
  -- Serving, with a warning: the sync succeeds, and the warning is shown.
  if is_true("Degraded") then
    return { status = "Healthy", message = sentence("Degraded") }
  end
  return { status = "Healthy", message = sentence("Ready") }
end
return {
  status = "Progressing",
  message = sentence("Reconciling") or sentence("Ready") or "Waiting for the operator",
}
