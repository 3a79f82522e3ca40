-- Health of a StompBroker, from the conditions that docs/status.md lists.
local function condition(kind)
  for _, found in ipairs((obj.status or {}).conditions or {}) do
    if found.type == kind then
      return found
    end
  end
end

local function says(status, found)
  return {status = status, message = found.reason .. ": " .. found.message}
end

if obj.spec ~= nil and obj.spec.suspend == true then
  return {status = "Suspended", message = "spec.suspend is set"}
end

local ready = condition("Ready")
local generation = (obj.status or {}).observedGeneration
if ready == nil or (generation ~= nil and generation ~= obj.metadata.generation) then
  return {status = "Progressing", message = "Waiting for the operator to look at the newest spec"}
end
local degraded = condition("Degraded")
if degraded ~= nil and degraded.status == "True" then
  return says("Degraded", degraded)
end
if ready.status == "True" then
  return says("Healthy", ready)
end
return says("Progressing", ready)
