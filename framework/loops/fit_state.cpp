#include <levin/framework/loops/fit_state.h>

#include <map>

#include <c10/core/ScalarType.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/version.h>
#include <levin/framework/loops/resumed_settings.h>
#include <levin/framework/loops/saved_ranks.h>
#include <levin/framework/loops/shown_metrics.h>
#include <levin/framework/loops/solver_fit.h>
#include <levin/framework/solvers/solver.h>
#include <levin/framework/strategies/local_steps.h>
#include <levin/framework/tensor/random.h>

namespace levin {
namespace {

/// Returns each element of `list` with its key. If several elements have the same key, "#1" is
/// added to that of the second, "#2" to that of the third, and so on.
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

/// Gives each element its state. Returns the keys of the states that no element has taken, unless
/// they are empty.
template <class T>
std::vector<std::string> load_states(const std::vector<T*>& list, const StateDict& state) {
  std::vector<std::string> left;
  for (const auto& [key, ignored] : state.values.as_object()) {
    if (!state.child(key).empty()) left.push_back(key);
  }
  for (const auto& [key, one] : keyed(list)) {
    if (!state.has_child(key)) continue;
    one->load_state_dict(state.child(key));
    std::erase(left, key);
  }
  return left;
}

/// What to do if the state of the optimizers or schedulers doesn't fit.
constexpr const char* kOtherOptimizer =
    "\nTo go on with the fit, give it the optimizer and the scheduler that its checkpoint was "
    "trained with (their rates and schedules may differ). To train with others, load only the "
    "weights, by Module::load_state_dict, and begin a new fit without ckpt_path";

/// The optimizer of that number, if it is a solver.
Solver* solver_at(Optimizers& optimizers, size_t number) {
  return dynamic_cast<Solver*>(optimizers.entries()[number].optimizer.get());
}

ModuleDescription describe_module(const LoopParts& parts,
                                  const std::optional<InputDescription>& input) {
  ModuleDescription description;
  description.class_path = parts.module.class_name();
  const Value settings = parts.module.hyper_parameters();
  const bool is_empty = settings.is_object() && settings.as_object().empty();
  if (!is_empty) description.init_args = settings;
  description.input = input;
  description.class_names = parts.data.class_names();
  return description;
}

}  // namespace

StateDict FitState::checkpoint(bool weights_only) {
  StateDict result = frozen_ && !weights_only ? *frozen_ : state(weights_only);
  parts_.hooks.call(&Hooks::on_save_checkpoint, result, parts_.run);
  return result;
}

void FitState::restore_random() {
  if (resumed_) load_random_state(random_to_restore_);
}

void FitState::keep_random() { random_at_end_ = random_state().clone(); }

bool FitState::is_divided() const {
  if (parts_.strategy.ranks().size() == 1) return false;
  const auto* const solver_fit = members_.solver_fit;
  return parts_.strategy.is_sharded() || (solver_fit != nullptr && solver_fit->divides_features());
}

StateDict FitState::state(bool weights_only) {
  members_.training_step.complete_parameters(alone_);
  RunControl& run = parts_.run;
  StateDict state;
  state.values["levin_version"] = kVersion;
  state.values["checkpoint_format"] = kCheckpointFormat;
  state.values["epoch"] = run.epoch();
  state.values["global_step"] = run.global_step();
  state.values["precision"] = parts_.precision.name();
  state.values["module"] = to_value(describe_module(parts_, input_));
  state.values["data_class"] = parts_.data.class_name();
  state.values["hyper_parameters"]["data"] = parts_.data.hyper_parameters();
  state.values["hyper_parameters"]["seed"] = static_cast<int64_t>(global_seed());
  state.add("model", parts_.module.state_dict());
  if (auto fitted = parts_.data.fitted_state(); !fitted.empty()) state.add("fitted", fitted);
  if (!weights_only) {
    StateDict optimizers;
    for (size_t i = 0; i < members_.optimizers.size(); ++i) {
      optimizers.add(std::to_string(i),
                     members_.solver_fit != nullptr
                         ? members_.solver_fit->state_dict()
                         : members_.optimizers.entries()[i].optimizer->state_dict());
    }
    state.add("optimizer", std::move(optimizers));
    const StateDict left = members_.training_step.left_gradients();
    if (!left.empty()) state.add("gradients", left);
    if (auto own = parts_.strategy.own_state(); !own.empty()) state.add("strategy", own);
    state.add("schedulers", members_.schedules.state_dict());
    state.add("loop", loop_state());
    const auto* const scaler = members_.training_step.scaler();
    if (scaler != nullptr) state.add("scaler", scaler->state_dict());
    state.add("callbacks", states_of(parts_.callbacks));
    state.add("loggers", states_of(parts_.loggers));
    state.add("data", parts_.data.state_dict());
    state.add("random", random_state());
    state.add("ranks", rank_states());
  }
  parts_.strategy.mark_own_tensors(state);
  return state;
}

void FitState::note_input(const Batch& batch) {
  if (batch.rows() == 0) return;
  const Rows& input = batch.input_rows();
  if (!input.is_defined() || input.source().dim() == 0) return;
  input_ = {.shape = input.row_shape().vec(), .dtype = c10::getDtypeNames(input.dtype()).first};
}

void FitState::resume(const StateDict& whole) {
  parts_.hooks.call(&Hooks::on_load_checkpoint, whole, parts_.run);
  const StateDict checkpoint = parts_.strategy.own_part_of(whole);
  const auto description = module_description(checkpoint);  // throws before anything is replaced
  const StateDict weights_before = parts_.module.state_dict().clone();
  const auto differences =
      parts_.module.load_state_dict(checkpoint.child("model"), parts_.module.strict_loading());
  warn_of_loose_loading(parts_.run, "the checkpoint", differences);
  try {
    load_state(checkpoint);
  } catch (...) {
    parts_.module.load_state_dict(weights_before);
    throw;
  }
  if (description) input_ = description->input;
  resumed_ = true;
}

/// Says which settings count if they aren't those of the checkpoint, and which states are left out.
void FitState::warn_about_changes(const StateDict& checkpoint,
                                  const std::vector<std::string>& changed_rates,
                                  const std::vector<std::string>& left_out) {
  std::vector<std::string> changes = changed_rates;
  const auto add = [&](std::string_view prefix, const Value& then, const Value& now) {
    for (auto& change : changed_settings(prefix, then, now)) changes.push_back(std::move(change));
  };
  if (checkpoint.values.contains("precision")) {
    add("", Value::Object{{"precision", checkpoint.values.at("precision")}},
        Value::Object{{"precision", parts_.precision.name()}});
  }
  if (const auto description = module_description(checkpoint)) {
    add("model.", description->init_args, parts_.module.hyper_parameters());
  }
  const auto& values = checkpoint.values;
  if (values.contains("hyper_parameters") && values.at("hyper_parameters").contains("data")) {
    Value then = values.at("hyper_parameters").at("data");
    Value now = parts_.data.hyper_parameters();
    for (const auto& name : parts_.data.fitted_settings()) {
      if (then.contains(name) && now.contains(name)) now[name] = then.at(name);
    }
    add("data.", then, now);
  }
  if (data_ranks_of(checkpoint) != parts_.strategy.data_ranks().size()) {
    // Then steps have as many rows as before, whatever the batch size.
    std::erase_if(changes,
                  [](const auto& change) { return change.starts_with("data.batch_size = "); });
  }
  if (!changes.empty()) {
    parts_.run.warn(fmt::format(
        "these settings aren't those of the checkpoint, which are in brackets. They count from "
        "here on: {}",
        fmt::join(changes, ", ")));
  }
  if (!left_out.empty()) {
    parts_.run.warn(fmt::format(
        "the checkpoint has states of callbacks that this fit doesn't have, and they are left out: "
        "{}. Add these callbacks, with the same settings, to go on with them",
        fmt::join(left_out, ", ")));
  }
}

/// Returns the learning rates that aren't those of the checkpoint.
std::vector<std::string> FitState::load_optimizers(const StateDict& checkpoint) {
  const StateDict saved = checkpoint.child("optimizer");
  const size_t count = saved.values.as_object().size();
  auto& entries = members_.optimizers.entries();
  const Value loop = checkpoint.child("loop").values;
  const int64_t epochs = loop.at("epoch").as_int();
  const int64_t steps = loop.at("global_step").as_int();
  const Value rates_before =
      loop.contains("configured_rates") ? loop.at("configured_rates") : Value();
  try {
    if (count != entries.size()) {
      throw CheckpointError::mismatch(
          "the state of the optimizers",
          {fmt::format("it has {}, this run has {}", counted(count, "optimizer"), entries.size())});
    }
    for (size_t i = 0; i < count; ++i) {
      entries[i].optimizer->load_state_dict(saved.child(std::to_string(i)));
    }
    auto changed_rates = configured_rates_.apply(members_.optimizers, rates_before);
    members_.schedules.load_state_dict(checkpoint.child("schedulers"), epochs, steps);
    return changed_rates;
  } catch (const CheckpointError& error) {
    throw CheckpointError(fmt::format("{}{}", error.what(), kOtherOptimizer));
  }
}

void FitState::load_state(const StateDict& checkpoint) {
  const auto changed_rates = load_optimizers(checkpoint);
  load_loop_state(checkpoint.child("loop"));
  auto* scaler = members_.training_step.scaler();
  if (scaler != nullptr && checkpoint.has_child("scaler")) {
    scaler->load_state_dict(checkpoint.child("scaler"));
    parts_.run.progress().skipped_steps = scaler->skipped_steps();
  }
  const auto left_out = load_states(parts_.callbacks, checkpoint.child("callbacks"));
  load_states(parts_.loggers, checkpoint.child("loggers"));
  parts_.data.load_state_dict(checkpoint.child("data"));
  random_to_restore_ = checkpoint.child("random");
  load_rank_state(checkpoint);
  warn_about_changes(checkpoint, changed_rates, left_out);
}

StateDict FitState::rank_states() {
  StateDict states;
  states.values = describe_ranks(parts_.strategy, alone_);
  Value::Array rows;
  for (const int64_t one : members_.data.rows_a_step()) rows.push_back(one);
  states.values["rows_a_step"] = std::move(rows);
  if (states.values.at("world_size").as_int() == 1) return states;
  StateDict own;
  own.values["model_rank"] = parts_.run.place().model_rank;
  own.add("random", random_at_end_ ? *random_at_end_ : random_state());
  own.add("metrics", members_.metrics.state_dict());
  StateDict solvers;
  const auto* const steps = parts_.strategy.local_steps();
  const bool steps_alone = steps != nullptr && steps->have_begun();
  for (size_t i = 0; i < members_.optimizers.size(); ++i) {
    const auto* solver = solver_at(members_.optimizers, i);
    StateDict part = solver != nullptr ? solver->own_state() : StateDict{};
    if (steps_alone) part = members_.optimizers.entries()[i].optimizer->state_dict();
    if (!part.empty()) solvers.add(std::to_string(i), std::move(part));
  }
  if (!solvers.empty()) own.add("optimizer", std::move(solvers));
  StateDict left = members_.training_step.left_gradients();
  if (!left.empty()) own.add("gradients", std::move(left));
  if (auto unsent = parts_.strategy.own_state(); !unsent.empty()) own.add("strategy", unsent);
  Ranks& ranks = parts_.strategy.ranks();  // rank 0's own state stands in the checkpoint itself
  const auto all = ranks.gather(checkpoint_bytes(ranks.is_zero() ? StateDict{} : own));
  for (size_t rank = 1; rank < all.size(); ++rank) {
    states.add(std::to_string(rank), checkpoint_from_bytes(all[rank]));
  }
  return states;
}

/// If this run has as many ranks as the one that wrote the checkpoint, which share models and rows
/// in the same way, each rank goes on with its own part. Otherwise rank 0 takes over the metrics of
/// all ranks, and the other ranks begin with none, and solvers go on without states of their ranks.
void FitState::load_rank_state(const StateDict& checkpoint) {
  const StateDict ranks = checkpoint.child("ranks");
  const int64_t then = world_size_of(checkpoint);
  const int64_t rank = parts_.strategy.ranks().rank();
  std::vector<StateDict> strategies{checkpoint.child("strategy")};
  for (int64_t other = 1; other < then; ++other) {
    strategies.push_back(ranks.child(std::to_string(other)).child("strategy"));
  }
  parts_.strategy.load_own_states(strategies);
  if (has_same_ranks(checkpoint, parts_.strategy)) {
    if (rank == 0) return members_.training_step.load_left_gradients(checkpoint.child("gradients"));
    const StateDict own = ranks.child(std::to_string(rank));
    random_to_restore_ = own.child("random");
    members_.metrics.load_state_dict(own.child("metrics"));
    load_own_states(own.child("optimizer"));
    members_.training_step.load_left_gradients(own.child("gradients"));
    return;
  }
  load_own_states({});
  if (rank == 0) {
    StateDict left = checkpoint.child("gradients").clone();
    for (int64_t other = 1; other < then; ++other) {
      const StateDict own = ranks.child(std::to_string(other));
      if (shared_rows(own)) continue;  // they are counted already
      members_.metrics.merge(own.child("metrics"));
      for (const auto& [name, gradient] : own.child("gradients").tensors) {
        torch::Tensor& sum = left.tensors[name];
        sum = sum.defined() ? sum + gradient : gradient;
      }
    }
    members_.training_step.load_left_gradients(left);
  } else {
    members_.metrics.begin_epoch();
    if (parts_.strategy.random_rank() == 0) return;  // rank 0's random numbers, as set above
    reseed_for_rank(parts_.strategy.random_rank());
    random_to_restore_ = random_state().clone();
  }
}

void FitState::load_own_states(const StateDict& states) {
  for (size_t i = 0; i < members_.optimizers.size(); ++i) {
    const StateDict own = states.child(std::to_string(i));
    if (auto* solver = solver_at(members_.optimizers, i)) solver->load_own_state(own);
    if (parts_.strategy.local_steps() == nullptr || own.empty()) continue;
    load_keeping_rates(*members_.optimizers.entries()[i].optimizer, own);
  }
}

StateDict FitState::loop_state() {
  RunControl& run = parts_.run;
  const Progress& progress = run.progress();
  StateDict state;
  state.values["epoch"] = progress.epoch;
  state.values["batch"] = progress.batch;
  state.values["global_step"] = progress.global_step;
  state.values["accumulate"] = progress.accumulate;
  state.values["accumulate_option"] = parts_.options.accumulate_grad_batches;
  state.values["configured_rates"] = configured_rates_.to_value();
  members_.validation.save_to(state.values);
  save_shown_metrics(run, state.values);
  if (const int threads = members_.threads.threads(); threads > 0) {
    state.values["threads"] = threads;
  }
  if (const auto seconds = members_.stopping.seconds()) state.values["seconds"] = *seconds;
  const auto held = members_.stopping.held_reason();
  if (held && !progress.minima_are_met()) state.values["stop_request"] = *held;
  state.add("train_metrics", members_.metrics.state_dict());
  state.add("history", run.history().state_dict());
  return state;
}

void FitState::load_loop_state(const StateDict& state) {
  RunControl& run = parts_.run;
  Progress& progress = run.progress();
  progress.epoch = state.values.at("epoch").as_int();
  progress.batch = state.values.at("batch").as_int();
  progress.global_step = state.values.at("global_step").as_int();
  // What callbacks have made of the option goes on, unless the option is another one now.
  const bool is_same_option =
      !state.values.contains("accumulate_option") ||
      state.values.at("accumulate_option").as_int() == parts_.options.accumulate_grad_batches;
  if (is_same_option) progress.accumulate = state.values.at("accumulate").as_int();
  members_.training_step.check_accumulation(progress.accumulate);
  members_.validation.load_from(state.values);
  load_shown_metrics(run, state.values, !parts_.loggers.empty());
  if (state.values.contains("stop_request")) {
    members_.stopping.hold({{.text = state.values.at("stop_request").as_string()}});
  }
  if (state.values.contains("threads")) {
    members_.threads.take(static_cast<int>(state.values.at("threads").as_int()));
  }
  if (state.values.contains("seconds")) {
    members_.stopping.set_seconds_before(state.values.at("seconds").as_double());
  }
  members_.metrics.load_state_dict(state.child("train_metrics"));
  run.history().load_state_dict(state.child("history"));
  if (progress.num_batches && progress.batch > *progress.num_batches) {
    throw CheckpointError::mismatch(
        "the checkpoint's place in the data",
        {fmt::format("it was taken after batch {} of an epoch, but an epoch has {} batches here",
                     progress.batch, *progress.num_batches)});
  }
}

}  // namespace levin
