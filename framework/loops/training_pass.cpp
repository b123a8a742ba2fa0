#include <levin/framework/loops/training_pass.h>

#include <levin/framework/tensor/random.h>

namespace levin {
namespace {

void visit_batches(const LoopParts& parts, TrainingData& data,
                   const std::function<void(const Batch&, Step&)>& visit) {
  const StateDict random = random_state().clone();
  data.leave_rows_in_place(false);
  data.seek(parts.run.epoch(), 0);
  LoggedValues unused;
  StepControl step(parts.run, unused, /*on_step=*/true);
  Batch batch;
  for (int64_t i = 0; data.next(batch); ++i) {
    const int64_t shares = parts.strategy.rank_share().world_size;
    if (data.global_rows() < shares) continue;  // a rank would have no rows
    transfer(parts, batch);
    step.begin(i, batch.loader_index());
    step.set_muted(true);
    const AutocastScope scope = parts.autocast();
    visit(batch, step);
    parts.strategy.end_forward();
  }
  load_random_state(random);
}

/// Lets hooks read the data while this object exists.
class TrainingPass {
 public:
  TrainingPass(const LoopParts& parts, TrainingData* data) : run_(parts.run) {
    if (data == nullptr) return;
    run_.set_training_pass(
        [parts, data](const auto& visit) { visit_batches(parts, *data, visit); });
  }
  ~TrainingPass() { run_.set_training_pass({}); }
  TrainingPass(const TrainingPass&) = delete;
  TrainingPass& operator=(const TrainingPass&) = delete;

 private:
  RunControl& run_;
};

}  // namespace

void call_on_train_end(const LoopParts& parts, TrainingData* data) {
  const TrainingPass pass(parts, data);
  parts.hooks.call(&Hooks::on_train_end, parts.run);
}

}  // namespace levin
