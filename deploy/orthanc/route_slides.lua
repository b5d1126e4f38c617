-- Routes whole slides (modality SM) that arrive in this Orthanc to vst_dicom, and nothing else.
--
-- Results of vst_dicom come back into the same study as other series (OT, SEG, ANN, SR). They make the study "stable"
-- again, so a script that routes studies, or series of any modality, sends results round in a circle.
-- The color overlay, where settings ask for it, is a slide (SM) too: it comes once, and vst_dicom, which knows its own
-- results, sets it aside.

local GATEWAY = 'vst_dicom'  -- its name in DicomModalities
local ROUTED = 'SM'          -- VL Whole Slide Microscopy

local running = {}           -- job of Orthanc -> series that it sends
local waiting = {}           -- series whose sending failed

local function route(series)
   waiting[series] = nil
   local request = DumpJson({ Resources = { series }, Synchronous = false }, true)
   local answer = RestApiPost('/modalities/' .. GATEWAY .. '/store', request)
   local job = answer and ParseJson(answer)
   if job and job['ID'] then
      running[job['ID']] = series
   else
      waiting[series] = true
   end
end

local function route_waiting()
   local again = {}
   for series, _ in pairs(waiting) do
      table.insert(again, series)
   end
   for _, series in ipairs(again) do
      print('Routing series ' .. series .. ' again')
      route(series)
   end
end

function OnStableSeries(series, tags, metadata)
   route_waiting()
   if tags['Modality'] == ROUTED then
      print('Routing series ' .. series)
      route(series)
   end
end

function OnJobSuccess(job)
   running[job] = nil
end

function OnJobFailure(job)
   if running[job] then
      print('Series ' .. running[job] .. ' was not taken; it is routed again later')
      waiting[running[job]] = true
      running[job] = nil
   end
end

-- Called every LuaHeartBeatPeriod seconds by Orthanc newer than 1.11.0. Older ones try again when the next series
-- becomes stable.
function OnHeartBeat()
   route_waiting()
end
