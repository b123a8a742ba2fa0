#include <map>

#include <fmt/format.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/version.h>
#include <levin/framework/loops/fit_loop.h>
#include <levin/framework/tensor/random.h>

// What a checkpoint holds, and how a run goes on from it. Its members:
//   model, optimizer.0, schedulers, loop (progress, metrics, history), callbacks.<key>,
//   loggers.<key>, data, random, ranks.<r> (what rank r has of its own, where there are several:
//   random, metrics); values levin_version, checkpoint_format, epoch, global_step,
//   hyper_parameters.

namespace levin {
namespace {

/// Each one's key; a second one of the same key gets "#1" behind it.
template <class T>
std::vector<std::pair<std::string, T*>> keyed(const std::vector<T*>& list) {
  std::map<std::string, int> seen;
  std::vector<std::pair<std::string, T*>> result;
  for (T* one : list) {
    std::string key = one->state_key();
    const int before = seen[key]++;
    if (before > 0) key += fmt::format("#{}", before);
    result.emplace_back(std::move(key), one);
  }
  return result;
}

template <class T>
StateDict states_of(const std::vector<T*>& list) {
  StateDict state;
  for (const auto& [key, one] : keyed(list)) state.add(key, one->state_dict());
  return state;
}

template <class T>
void load_states(const std::vector<T*>& list, const StateDict& state) {
  for (const auto& [key, one] : keyed(list)) {
    if (state.has_child(key)) one->load_state_dict(state.child(key));
  }
}

Value to_value(const MetricMap& metrics) {
  Value::Object object;
  for (const auto& [name, value] : metrics) object.emplace(name, value);
  return object;
}

MetricMap to_metrics(const Value& object) {
  MetricMap metrics;
  for (const auto& [name, value] : object.as_object()) metrics[name] = value.as_double();
  return metrics;
}

}  // namespace

StateDict FitLoop::checkpoint(bool weights_only) {
  StateDict result = boundary_ && !weights_only ? *boundary_ : state(weights_only);
  parts_.hooks.call(&Hooks::on_save_checkpoint, result, parts_.run);
  return result;
}

StateDict FitLoop::state(bool weights_only) {
  RunControl& run = parts_.run;
  StateDict state;
  state.values["levin_version"] = kVersion;
  state.values["checkpoint_format"] = kCheckpointFormat;
  state.values["epoch"] = run.epoch();
  state.values["global_step"] = run.global_step();
  state.values["hyper_parameters"]["model"] = parts_.module.hyper_parameters();
  state.values["hyper_parameters"]["data"] = parts_.data.hyper_parameters();
  state.values["hyper_parameters"]["seed"] = static_cast<int64_t>(global_seed());
  state.add("model", parts_.module.state_dict());
  if (!weights_only) {
    StateDict optimizers;
    for (size_t i = 0; i < optimizers_.size(); ++i) {
      optimizers.add(std::to_string(i), optimizers_.entries()[i].optimizer->state_dict());
    }
    state.add("optimizer", std::move(optimizers));
    state.add("schedulers", schedules_.state_dict());
    state.add("loop", loop_state());
    state.add("callbacks", states_of(parts_.callbacks));
    state.add("loggers", states_of(parts_.loggers));
    state.add("data", parts_.data.state_dict());
    state.add("random", random_state());
    state.add("ranks", rank_states());
  }
  return state;
}

void FitLoop::resume(const StateDict& checkpoint) {
  parts_.hooks.call(&Hooks::on_load_checkpoint, checkpoint, parts_.run);
  const StateDict weights_before = parts_.module.state_dict().clone();
  parts_.module.load_state_dict(checkpoint.child("model"));
  try {
    load_state(checkpoint);
  } catch (...) {  // a checkpoint that doesn't fit leaves the module as it was
    parts_.module.load_state_dict(weights_before);
    throw;
  }
  resumed_ = true;
}

void FitLoop::load_state(const StateDict& checkpoint) {
  const StateDict optimizers = checkpoint.child("optimizer");
  if (optimizers.values.as_object().size() != optimizers_.size()) {
    throw CheckpointError::mismatch(
        "the state of the optimizers",
        {fmt::format("it has {}, this run {}", optimizers.values.as_object().size(),
                     optimizers_.size())});
  }
  for (size_t i = 0; i < optimizers_.size(); ++i) {
    optimizers_.entries()[i].optimizer->load_state_dict(optimizers.child(std::to_string(i)));
  }
  schedules_.load_state_dict(checkpoint.child("schedulers"));
  load_loop_state(checkpoint.child("loop"));
  load_states(parts_.callbacks, checkpoint.child("callbacks"));
  load_states(parts_.loggers, checkpoint.child("loggers"));
  parts_.data.load_state_dict(checkpoint.child("data"));
  random_to_restore_ = checkpoint.child("random");
  load_rank_state(checkpoint);
}

/// What differs from rank to rank: random generators, and metrics of an epoch that hasn't ended.
StateDict FitLoop::rank_states() {
  StateDict states;
  const int64_t world_size = alone_ ? 1 : parts_.strategy.ranks().size();
  states.values["world_size"] = world_size;
  Value::Array rows;
  for (const int64_t one : data_.rows_a_step()) rows.push_back(one);
  states.values["rows_a_step"] = std::move(rows);
  if (world_size == 1) return states;
  StateDict own;
  own.add("random", random_at_end_ ? *random_at_end_ : random_state());
  own.add("metrics", metrics_.state_dict());
  const auto all = parts_.strategy.ranks().gather(checkpoint_bytes(own));
  for (size_t rank = 1; rank < all.size(); ++rank) {
    states.add(std::to_string(rank), checkpoint_from_bytes(all[rank]));
  }
  return states;
}

/// With as many ranks as then, each goes on with what it had. Else rank 0 takes all metrics.
void FitLoop::load_rank_state(const StateDict& checkpoint) {
  const StateDict ranks = checkpoint.child("ranks");
  const int64_t then =
      ranks.values.contains("world_size") ? ranks.values.at("world_size").as_int() : 1;
  const int64_t rank = parts_.strategy.ranks().rank();
  if (then == parts_.strategy.ranks().size()) {
    if (rank == 0) return;
    const StateDict own = ranks.child(std::to_string(rank));
    random_to_restore_ = own.child("random");
    metrics_.load_state_dict(own.child("metrics"));
  } else if (rank == 0) {
    for (int64_t other = 1; other < then; ++other) {
      metrics_.merge(ranks.child(std::to_string(other)).child("metrics"));
    }
  } else {
    metrics_.begin_epoch();
    reseed_for_rank(rank);
    random_to_restore_ = random_state().clone();
  }
}

/// The same on every rank, for what must not come out differently.
MetricMap FitLoop::agreed_metrics() {
  const auto shared = parts_.run.ranks().from_rank_zero(
      "FitLoop/metrics", [this] { return Value(to_value(parts_.run.metrics())).to_json(); });
  return to_metrics(Value::from_json(shared));
}

StateDict FitLoop::loop_state() {
  RunControl& run = parts_.run;
  const Progress& progress = run.progress();
  StateDict state;
  state.values["epoch"] = progress.epoch;
  state.values["batch"] = progress.batch;
  state.values["global_step"] = progress.global_step;
  state.values["accumulate"] = progress.accumulate;
  state.values["total_batches"] = total_batches_;
  state.values["metrics"] = to_value(run.metrics());
  state.values["progress_bar"] = to_value(run.progress_bar_metrics());
  if (threads_.threads > 0) state.values["threads"] = threads_.threads;
  if (time_limit_ > 0.0) state.values["seconds"] = elapsed_seconds();
  state.add("train_metrics", metrics_.state_dict());
  state.add("history", run.history().state_dict());
  return state;
}

void FitLoop::load_loop_state(const StateDict& state) {
  RunControl& run = parts_.run;
  Progress& progress = run.progress();
  progress.epoch = state.values.at("epoch").as_int();
  progress.batch = state.values.at("batch").as_int();
  progress.global_step = state.values.at("global_step").as_int();
  progress.accumulate = state.values.at("accumulate").as_int();
  training_step_.check_accumulation(progress.accumulate);
  total_batches_ = state.values.at("total_batches").as_int();
  run.known_metrics() = to_metrics(state.values.at("metrics"));
  run.known_progress_bar() = to_metrics(state.values.at("progress_bar"));
  if (state.values.contains("threads")) {
    // As many, so that sums come out the same; how they wait is a matter of the machine, today.
    threads_.threads = static_cast<int>(state.values.at("threads").as_int());
    threads_.short_waits = threads_.threads > 1;
  }
  if (state.values.contains("seconds")) time_before_ = state.values.at("seconds").as_double();
  metrics_.load_state_dict(state.child("train_metrics"));
  run.history().load_state_dict(state.child("history"));
  if (num_batches_ && progress.batch > *num_batches_) {
    throw CheckpointError::mismatch(
        "the checkpoint's place in the data",
        {fmt::format("it is after batch {} of an epoch that has {} here", progress.batch,
                     *num_batches_)});
  }
}

}  // namespace levin
