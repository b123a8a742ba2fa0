#include <levin/framework/loops/evaluation_loop.h>

#include <algorithm>
#include <utility>

#include <levin/framework/core/error.h>
#include <levin/framework/loops/limits.h>
#include <levin/framework/loops/reporting.h>
#include <levin/framework/tensor/divided_memory.h>

namespace levin {
namespace {

using RunHook = void (Hooks::*)(Run&);
using BatchCall = void (Hooks::*)(const Batch&, Step&);

/// The hooks that are called in one kind of evaluation.
struct HookNames {
  RunHook start, epoch_start, epoch_end, end;
  BatchHook batch_start_bit, batch_end_bit;
  BatchCall batch_start, batch_end;
};

constexpr HookNames kValidation{
    &Hooks::on_validation_start,       &Hooks::on_validation_epoch_start,
    &Hooks::on_validation_epoch_end,   &Hooks::on_validation_end,
    BatchHook::validation_batch_start, BatchHook::validation_batch_end,
    &Hooks::on_validation_batch_start, &Hooks::on_validation_batch_end};
constexpr HookNames kTest{&Hooks::on_test_start,       &Hooks::on_test_epoch_start,
                          &Hooks::on_test_epoch_end,   &Hooks::on_test_end,
                          BatchHook::test_batch_start, BatchHook::test_batch_end,
                          &Hooks::on_test_batch_start, &Hooks::on_test_batch_end};

const HookNames& hooks_of(Stage stage) { return stage == Stage::test ? kTest : kValidation; }

/// Sets the progress of an evaluation, and puts back that of the surrounding fit when it is
/// destroyed.
class ProgressScope {
 public:
  ProgressScope(RunControl& run, Stage stage) : run_(run), before_(run.progress()) {
    run_.progress().stage = stage;
    run_.progress().batch = 0;
  }
  ~ProgressScope() { run_.progress() = before_; }
  ProgressScope(const ProgressScope&) = delete;
  ProgressScope& operator=(const ProgressScope&) = delete;

 private:
  RunControl& run_;
  Progress before_;
};

std::optional<int64_t> smaller(std::optional<int64_t> a, std::optional<int64_t> b) {
  if (a && b) return std::min(*a, *b);
  return a ? a : b;
}

}  // namespace

EvaluationMode::EvaluationMode(torch::nn::Module& module)
    : module_(module), was_training_(module.is_training()) {
  for (auto& child : module.modules(/*include_self=*/false)) {
    children_.emplace_back(child, child->is_training());
  }
  module.eval();
}

EvaluationMode::~EvaluationMode() {
  module_.train(was_training_);
  for (auto& [child, training] : children_) child->train(training);  // parents before children
}

EvaluationLoop::EvaluationLoop(LoopParts parts, DataLoaders loaders, std::string_view option,
                               const CountOrFraction& limit)
    : parts_(parts), option_(option), limit_(limit) {
  set_loaders(std::move(loaders));
}

void EvaluationLoop::set_loaders(DataLoaders loaders) {
  require_sequential(loaders, "an evaluation");
  std::vector<std::optional<int64_t>> limits;
  for (const auto& loader : loaders) {
    limits.push_back(limited(option_, limit_, loader.size(parts_.strategy.rank_share())));
  }
  loaders_ = std::move(loaders);
  limits_ = std::move(limits);
  readers_.clear();
  has_placed_data_ = false;
}

bool EvaluationLoop::has_batches() const {
  return std::any_of(limits_.begin(), limits_.end(), [](auto limit) { return limit != 0; });
}

MetricMap EvaluationLoop::run(Stage stage, std::optional<int64_t> most) {
  owners_ = memory_owners_of(parts_.module.parameters());
  RunControl& run = parts_.run;
  const ProgressScope progress(run, stage);
  const HookNames& hooks = hooks_of(stage);
  std::optional<int64_t> total = 0;
  for (const auto& limit : limits_) {
    const auto batches = smaller(limit, most);
    total = total && batches ? std::optional(*total + *batches) : std::nullopt;
  }
  run.progress().num_batches = total;

  const EvaluationMode evaluation_mode(parts_.module);
  const LoggingScope logging(run, &metrics_);
  metrics_.begin_epoch();
  StepControl step(run, metrics_, /*on_step=*/false);
  parts_.hooks.call(hooks.start, run);
  parts_.hooks.call(hooks.epoch_start, run);
  for (size_t i = 0; i < loaders_.size(); ++i) read_loader(i, smaller(limits_[i], most), step);
  has_placed_data_ = has_placed_data_ || stage != Stage::sanity_check;
  parts_.hooks.call(hooks.epoch_end, run);
  MetricMap result = publish_epoch_values(parts_, metrics_);
  if (stage == Stage::sanity_check) {
    metrics_.forget_rows();
  } else {
    log_epoch_values(parts_, metrics_);
  }
  const LoggingScope silent(run, nullptr);
  parts_.hooks.call(hooks.end, run);
  return result;
}

void EvaluationLoop::read_loader(size_t index, std::optional<int64_t> most, StepControl& step) {
  if (most == 0) return;
  if (readers_.size() <= index) {
    readers_.push_back(loaders_[index].open(0, 0, parts_.strategy.rank_share()));
  } else {
    readers_[index].seek(0);
  }
  Reader& reader = readers_[index];
  Batch batch;
  bool is_placed = has_placed_data_ || parts_.run.stage() == Stage::sanity_check;
  for (int64_t i = 0; (!most || i < *most) && next_batch(parts_, reader, batch); ++i) {
    batch.set_loader_index(static_cast<int64_t>(index));
    if (batch.rows() == 0) {  // fewer rows are left than there are ranks
      GatheredStep(owners_).end();
      continue;
    }
    transfer(parts_, batch);
    if (!std::exchange(is_placed, true)) keep_on_device(parts_, reader, batch, most);
    metrics_.begin_window();
    metrics_.begin_batch(batch.rows(), batch.loader_index(), static_cast<int64_t>(loaders_.size()));
    step.begin(i, batch.loader_index());
    evaluate(batch, step);
  }
}

void EvaluationLoop::evaluate(const Batch& batch, StepControl& step) {
  const Stage stage = parts_.run.stage();
  const HookNames& hooks = hooks_of(stage);
  parts_.hooks.call_batch(hooks.batch_start_bit, hooks.batch_start, batch, step);
  {
    const ProfilePart profiled(parts_.profiler, Part::forward);
    GatheredStep gathered(owners_);
    parts_.run_step([&] {
      if (stage == Stage::test) {
        parts_.module.test_step(batch, step);
      } else {
        parts_.module.validation_step(batch, step);
      }
    });
    gathered.end();
  }
  ++parts_.run.progress().batch;
  parts_.hooks.call_batch(hooks.batch_end_bit, hooks.batch_end, batch, step);
  if (stage == Stage::sanity_check || !metrics_.has_step_values()) return;
  log_step_values(parts_, metrics_, batches_seen_++);
}

}  // namespace levin
