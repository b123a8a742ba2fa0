#include <levin/framework/loops/predict_loop.h>

#include <utility>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/data/batch_source.h>
#include <levin/framework/loops/evaluation_loop.h>
#include <levin/framework/loops/limits.h>
#include <levin/framework/tensor/divided_memory.h>

namespace levin {

PredictLoop::PredictLoop(LoopParts parts, DataLoaders loaders, Take take)
    : parts_(parts), loaders_(std::move(loaders)), take_(std::move(take)) {}

NamedTensors PredictLoop::run() {
  read_all();
  if (take_) return {};
  NamedTensors result;  // made outside inference mode: ordinary tensors
  for (auto& [name, parts] : collected_) result.emplace_back(name, at::cat(parts.take()));
  return parts_.strategy.gather_rows(std::move(result), positions_);
}

void PredictLoop::read_all() {
  const c10::InferenceMode inference(parts_.options.inference_mode);
  const at::NoGradGuard no_grad;
  RunControl& run = parts_.run;
  run.progress() = Progress{.stage = Stage::predict};
  const EvaluationMode evaluation_mode(parts_.module);
  StepControl step(run, metrics_, /*on_step=*/false);
  step.set_forbidden(true);
  parts_.hooks.call(&Hooks::on_predict_start, run);
  parts_.hooks.call(&Hooks::on_predict_epoch_start, run);
  for (size_t i = 0; i < loaders_.size(); ++i) read_loader(i, step);
  hand_out_kept();
  parts_.hooks.call(&Hooks::on_predict_epoch_end, run);
  parts_.hooks.call(&Hooks::on_predict_end, run);
}

void PredictLoop::read_loader(size_t index, StepControl& step) {
  const auto limit = limited("limit_predict_batches", parts_.options.limit_predict_batches,
                             loaders_[index].size(parts_.strategy.rank_share()));
  if (limit == 0) return;
  const auto owners = memory_owners_of(parts_.module.parameters());
  parts_.run.progress().num_batches = limit;
  parts_.run.progress().batch = 0;
  Reader reader = loaders_[index].open(0, 0, parts_.strategy.rank_share());
  const int64_t rows_before = rows_;
  Batch batch;
  bool is_placed = false;
  for (int64_t i = 0; (!limit || i < *limit) && next_batch(parts_, reader, batch); ++i) {
    batch.set_loader_index(static_cast<int64_t>(index));
    const RankShare rank_share = parts_.strategy.rank_share();
    const int64_t own = share_offset(rows_ - rows_before, rank_share);
    for (int64_t row = 0; row < batch.rows(); ++row) {
      positions_.push_back(rows_ + own + row * rank_share.world_size);
    }
    rows_ += reader.global_rows();
    if (batch.rows() == 0) {  // fewer rows are left than there are ranks
      GatheredStep(owners).end();
      if (take_) hand_out({});
      continue;
    }
    transfer(parts_, batch);
    if (!std::exchange(is_placed, true)) keep_on_device(parts_, reader, batch, limit);
    step.begin(i, batch.loader_index());
    parts_.hooks.call_batch(BatchHook::predict_batch_start, &Hooks::on_predict_batch_start, batch,
                            step);
    NamedTensors outputs = [&] {
      const ProfilePart profiled(parts_.profiler, Part::forward);
      GatheredStep gathered(owners);
      auto result = parts_.run_step([&] { return parts_.module.predict_step(batch, step); });
      gathered.end();
      return result;
    }();
    ++parts_.run.progress().batch;
    parts_.hooks.call_batch(BatchHook::predict_batch_end, &Hooks::on_predict_batch_end, outputs,
                            batch, step);
    check(outputs);
    if (take_) {
      hand_out(std::move(outputs));
    } else {
      collect(std::move(outputs));
    }
  }
}

/// Throws ModuleError unless the outputs have the names of those of the first batch.
void PredictLoop::check(const NamedTensors& outputs) {
  if (collected_.empty()) {
    for (const auto& [name, tensor] : outputs) collected_.emplace_back(name, HostCopies());
  }
  if (outputs.size() != collected_.size()) {
    throw ModuleError::contract("predict_step",
                                fmt::format("returned {} tensors, but {} for the first batch",
                                            outputs.size(), collected_.size()),
                                "return the same names for every batch");
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].first != collected_[i].first) {
      throw ModuleError::contract(
          "predict_step",
          fmt::format("returned '{}' in the place of the first batch's '{}'", outputs[i].first,
                      collected_[i].first),
          "return the same names for every batch");
    }
    const auto& tensor = outputs[i].second;
    if (tensor.defined() && tensor.layout() == at::kSparseCsr) {
      throw ModuleError::contract(
          "predict_step", fmt::format("returned '{}' as a sparse CSR tensor", outputs[i].first),
          "return to_dense() of it, because those of all batches are joined");
    }
  }
}

void PredictLoop::collect(NamedTensors outputs) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    collected_[i].second.add(std::move(outputs[i].second));
  }
}

/// Keeps the outputs of a batch until the next one, whose work the device does meanwhile, and gives
/// those of the batch before to `take_`. A collective.
void PredictLoop::hand_out(NamedTensors outputs) {
  Collected copies;
  for (auto& [name, tensor] : outputs) {
    copies.emplace_back(name, HostCopies()).second.add(std::move(tensor));
  }
  hand_out_kept();
  kept_ = Kept{std::move(copies), std::exchange(positions_, {})};
}

/// Gives the outputs that were kept, of all ranks, to `take_`. A collective.
void PredictLoop::hand_out_kept() {
  if (!kept_) return;
  NamedTensors own;
  for (auto& [name, copies] : kept_->outputs) {
    own.emplace_back(name, std::move(copies.take().front()));
  }
  const auto all = parts_.strategy.gather_rows(std::move(own), kept_->positions);
  kept_.reset();
  if (parts_.run.is_global_zero()) take_(all);
}

}  // namespace levin
