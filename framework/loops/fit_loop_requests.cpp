// The part of FitLoop that does what callbacks and the module have asked for.
#include <fmt/format.h>

#include <levin/framework/loops/fit_loop.h>
#include <levin/framework/tensor/divided_memory.h>

namespace levin {

void FitLoop::act_on(const Requests& requests) {
  if (requests.accumulate) accumulate(*requests.accumulate);
  if (!requests.saves.empty()) step_rows_.write_all();
  stopping_.hold(requests.stops);  // before the saves: checkpoints keep the requests that are held
  checkpointer_.save(requests.saves);
  if (!requests.weights) return;
  const WholeTensors whole(parts_.module.parameters());
  StateDict own;
  own.add("model", *requests.weights);
  if (parts_.strategy.divides_module()) own = parts_.strategy.own_part_of(own);
  parts_.module.load_state_dict(own.child("model"));
}

void FitLoop::accumulate(int64_t batches) {
  training_step_.check_accumulation(batches);
  parts_.run.progress().accumulate = batches;
  const int64_t option = parts_.options.accumulate_grad_batches;
  if (option == 1 || option == batches || parts_.run.global_step() > 0) return;
  parts_.run.warn(
      fmt::format("accumulate_grad_batches = {} isn't used: a callback such as "
                  "GradientAccumulationScheduler, or the module, sets {} before the first step "
                  "(Run::accumulate). Leave out one of the two",
                  option, batches));
}

}  // namespace levin
