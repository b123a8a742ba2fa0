#include <levin/tuning/trials/run_trial.h>

#include <algorithm>
#include <exception>
#include <map>
#include <memory>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include <levin/cli/find_checkpoint.h>
#include <levin/cli/session.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/tensor/torch_error.h>
#include <levin/tuning/batched/batched_session.h>
#include <levin/tuning/schedulers/staged_searchers.h>
#include <levin/tuning/trials/trial_queue.h>
#include <levin/tuning/trials/trial_reporter.h>

namespace levin {
namespace {

/// The checkpoint of a trial that has paused, in its folder.
constexpr const char* kPauseName = "paused.ckpt";
/// The system attribute of a trial trained at once with others: its checkpoints have only weights.
constexpr const char* kBatchedAttribute = "levin:batched";

/// Takes over the parameters that a trial was given beforehand, as Optuna's enqueue_trial does.
void take_fixed_values(const SearchSpace& space, const Trial& trial, ParameterValues& values) {
  const auto fixed = trial.system_attributes.find("fixed_params");
  if (fixed == trial.system_attributes.end() || !fixed->second.is_object()) return;
  for (const auto& [name, value] : fixed->second.as_object()) {
    const SearchParameter* const parameter = space.find(name);
    if (parameter == nullptr) continue;
    const auto internal = parameter->distribution.to_internal(value);
    if (!internal || !parameter->distribution.contains(*internal)) {
      throw ConfigError(fmt::format("{} can't have the value {} that the trial was given", name,
                                    value.to_json()));
    }
    values[name] = *internal;
  }
}

/// Chooses the trial's parameters and records them. A trial that was started before keeps them.
ParameterValues choose_parameters(const SearchPlan& plan, StudyFile& file, int64_t id) {
  const Study& study = *file.contents().study_of_trial(id);
  const Trial& trial = *file.contents().trial(id);
  if (!trial.parameters.empty()) return trial.parameters;
  const auto suggestion =
      plan.searcher->suggest(study, number_for_searcher(*plan.searcher, study, trial));
  if (!suggestion) throw Error("the searcher has no parameters left for another trial");
  TrialUpdate update;
  update.parameters = suggestion->parameters;
  update.system_attributes = suggestion->system_attributes;
  take_fixed_values(plan.space, trial, update.parameters);
  update.parameters = plan.space.only_active(update.parameters);
  for (const auto& [name, value] : update.parameters) {
    update.distributions.emplace(name, plan.space.find(name)->distribution);
  }
  const ParameterValues chosen = update.parameters;
  file.update(id, update);
  return chosen;
}

/// The trial from whose checkpoint a trial goes on: itself, if it has paused, or the nearest one
/// with a checkpoint of those that it takes over from, or the one that its searcher names. Null: it
/// begins anew.
const Trial* source_of(const Study& study, const Trial& trial) {
  for (const Trial* each = &trial; each != nullptr; each = predecessor_of(study, *each)) {
    const auto batched = each->system_attributes.find(kBatchedAttribute);
    if (batched != each->system_attributes.end() && batched->second == Value(true)) continue;
    if (!checkpoint_of(*each).empty()) return each;
  }
  const auto named = trial.system_attributes.find(kGoesOnFromAttribute);
  if (named == trial.system_attributes.end() || !named->second.is_int()) return nullptr;
  const int64_t number = named->second.as_int();
  if (number < 0 || number >= trial.number) return nullptr;
  return source_of(study, study.trials[static_cast<size_t>(number)]);
}

/// The folder of a trial: its own, or that of the trial whose attempt it repeats.
std::filesystem::path folder_for(const Study& study, const Trial& trial,
                                 const std::string& default_root_dir) {
  for (const Trial* each = &trial; each != nullptr; each = predecessor_of(study, *each)) {
    if (!folder_of(*each).empty()) return folder_of(*each);
  }
  std::string study_folder = study.name;
  std::replace(study_folder.begin(), study_folder.end(), '/', '_');
  const auto parent = std::filesystem::path(default_root_dir) / "levin_logs" / study_folder;
  std::string name = fmt::format("trial_{}", trial.number);
  // A folder of that name belongs to an earlier study, whose file was deleted.
  for (int i = 2; files::exists(parent / name); ++i) {
    name = fmt::format("trial_{}_{}", trial.number, i);
  }
  return parent / name;
}

/// Makes the job of a trial, with its folder.
Job job_of_trial(const SearchPlan& plan, const Registry& registry, StudyFile& file, int64_t id,
                 const ParameterValues& values) {
  Job job = read_job(registry, configuration_of(plan, values));
  std::erase_if(job.default_callbacks,
                [](const auto& each) { return each.name != "ModelCheckpoint"; });
  const Study& study = *file.contents().study_of_trial(id);
  const Trial& trial = *file.contents().trial(id);
  const auto folder = folder_for(study, trial, job.trainer->default_root_dir);
  if (const Trial* const source = source_of(study, trial)) {
    job.ckpt_path = checkpoint_of(*source).string();
  }
  job.trainer->default_root_dir = folder.string();
  if (folder_of(trial).empty()) file.update(id, {.user_attributes = {{"folder", folder.string()}}});
  return job;
}

/// The limit that ASHA or a staged search gives the trial.
TrialLimit limit_of(const SearchPlan& plan, StudyFile& file, int64_t id) {
  TrialLimit limit;
  if (plan.asha) {
    const int64_t rung = Asha::rung_to_train(*file.contents().trial(id));
    file.update(id, {.system_attributes = {{Asha::rung_attribute, rung}}});
    if (rung + 1 < plan.asha->rungs()) limit.until_epoch = plan.asha->step_of(rung);
  } else {
    const auto& attributes = file.contents().trial(id)->system_attributes;
    const auto until = attributes.find(kUntilEpochAttribute);
    if (until != attributes.end() && until->second.is_int()) {
      limit.until_epoch = until->second.as_int();
    }
  }
  limit.checkpoint = std::filesystem::absolute(folder_of(*file.contents().trial(id)) / kPauseName);
  return limit;
}

/// What the training came to. A trial that pauses waits.
struct TrialEnd {
  std::optional<TrialState> state{};
  std::vector<double> values{};
  Value::Object attributes{};
  Value::Object system_attributes{};
};

/// The values of the objectives at the end of a training.
std::vector<double> final_values(const SearchPlan& plan, const MetricMap& metrics,
                                 const TrialReporter& reporter, const Trial* before) {
  const TuneOptions& options = plan.options;
  if (options.value == "best" && reporter.best_value()) return {*reporter.best_value()};
  std::vector<double> values;
  for (const auto& metric : options.metric) {
    const auto found = metrics.find(metric);
    if (found != metrics.end()) {
      values.push_back(found->second);
      continue;
    }
    // It goes on from a checkpoint of the very end: all had been done but to record it.
    const bool is_repeated = reporter.epochs() == 0 && before != nullptr &&
                             options.metric.size() == 1 && !before->intermediate_values.empty();
    if (is_repeated) return {before->intermediate_values.rbegin()->second};
    std::vector<std::string> logged;
    for (const auto& [name, value] : metrics) logged.push_back(name);
    throw ModuleError::metric_not_logged("the search", metric, logged);
  }
  return values;
}

int64_t counted_epochs(const Trial& trial) {
  const auto counted = trial.user_attributes.find("epochs");
  return counted != trial.user_attributes.end() && counted->second.is_int()
             ? counted->second.as_int()
             : 0;
}

/// What becomes of a trial that has reached its limit, or has ended without one.
TrialEnd end_of_training(const SearchPlan& plan, const Trial& trial, const TrialReporter& reporter,
                         std::vector<double> values) {
  TrialEnd end;
  end.state = reporter.is_pruned() ? TrialState::pruned : TrialState::complete;
  end.values = std::move(values);
  if (plan.asha && reporter.last_value()) {
    const int64_t rung = Asha::rung_to_train(trial);
    end.system_attributes[Asha::value_attribute(rung)] = *reporter.last_value();
    if (reporter.has_reached_limit()) end.state = TrialState::waiting;
  }
  const auto is_final = trial.system_attributes.find(kIsFinalAttribute);
  if (is_final != trial.system_attributes.end() && is_final->second == Value(false)) {
    end.state = TrialState::pruned;
  }
  if (end.state != TrialState::complete) end.values.clear();
  return end;
}

TrialEnd train(const SearchPlan& plan, const Registry& registry, StudyFile& file, int64_t id,
               const ParameterValues& values) {
  Job job = job_of_trial(plan, registry, file, id, values);
  auto made = std::make_unique<TrialReporter>(plan, file, id, limit_of(plan, file, id));
  const TrialReporter& reporter = *made;
  Session session(std::move(job), registry);
  session.add_callback(std::move(made), overridden_hooks<TrialReporter>());
  session.record_config(registry);
  const bool interrupted = session.fit().interrupted;
  const Study& study = *file.contents().study_of_trial(id);
  const Trial& trial = *file.contents().trial(id);
  TrialEnd end;
  if (!interrupted) {
    const Trial* const before = predecessor_of(study, trial);
    end = end_of_training(plan, trial, reporter,
                          final_values(plan, session.trainer().run().metrics(), reporter, before));
  }
  end.attributes["epochs"] = counted_epochs(trial) + reporter.epochs();
  return end;
}

/// Records what became of a trial. Returns its state.
std::optional<TrialState> record_end(StudyFile& file, int64_t trial, const TrialEnd& end) {
  file.refresh();
  if (is_finished(file.contents().trial(trial)->state)) {  // another process gave it up
    return file.contents().trial(trial)->state;
  }
  file.update(trial,
              {.user_attributes = end.attributes, .system_attributes = end.system_attributes});
  if (*end.state != TrialState::waiting) return file.finish(trial, *end.state, end.values);
  file.pause(trial);
  return end.state;
}

/// A trial that is trained at once with others.
struct BatchedTrial {
  int64_t id = 0;
  Job job{};
  const TrialReporter* reporter = nullptr;
};

/// Returns those of the trials that can be trained at once, with their jobs: those that don't go on
/// from a checkpoint, in one batch for each seed. A trial whose job can't be made is left to
/// `run_trial`, which records why.
std::vector<std::vector<BatchedTrial>> batches_of(const SearchPlan& plan, const Registry& registry,
                                                  StudyFile& file,
                                                  const std::vector<int64_t>& trials) {
  std::map<std::optional<int64_t>, std::vector<BatchedTrial>> by_seed;
  const auto held = file.hold();
  for (const int64_t trial : trials) {
    if (!is_ready_to_run(plan, file, trial)) continue;
    try {
      Job job = job_of_trial(plan, registry, file, trial, choose_parameters(plan, file, trial));
      const auto seed = job.seed;
      if (job.ckpt_path.empty()) by_seed[seed].push_back({trial, std::move(job)});
    } catch (const std::exception&) {  // it comes again when the trial is alone
      continue;
    }
  }
  std::vector<std::vector<BatchedTrial>> batches;
  for (auto& [seed, batch] : by_seed) batches.push_back(std::move(batch));
  return batches;
}

/// Lets the trials that haven't ended be trained one by one.
void forget_batch(StudyFile& file, const std::vector<BatchedTrial>& batch) {
  for (const auto& trial : batch) {
    if (is_finished(file.contents().trial(trial.id)->state)) continue;
    file.update(trial.id, {.system_attributes = {{kBatchedAttribute, false}}});
  }
}

/// Records what became of trials that were trained at once: first what they have come to, all
/// together, and then the end of each.
void record_ends(const SearchPlan& plan, StudyFile& file, BatchedSession& session,
                 const std::vector<BatchedTrial>& batch) {
  std::vector<TrialEnd> ends;
  TrialUpdates updates;
  const auto held = file.hold();
  file.refresh();
  for (size_t i = 0; i < batch.size(); ++i) {
    const auto& [id, job, reporter] = batch[i];
    const Trial& trial = *file.contents().trial(id);
    auto values = final_values(plan, session.run(i).metrics(), *reporter, nullptr);
    ends.push_back(end_of_training(plan, trial, *reporter, std::move(values)));
    if (is_finished(trial.state)) continue;  // another process gave it up
    TrialUpdate update{.system_attributes = std::move(ends.back().system_attributes)};
    update.user_attributes["epochs"] = reporter->epochs();
    updates.emplace_back(id, std::move(update));
  }
  file.update(updates);
  for (size_t i = 0; i < batch.size(); ++i) {
    ends[i].system_attributes.clear();
    record_end(file, batch[i].id, ends[i]);
  }
}

/// Trains the trials at once. Returns whether a signal has ended that; nothing if they can't be
/// trained so, or one of them has failed: then `otherwise` says how they are trained instead.
std::optional<bool> train_at_once(const SearchPlan& plan, const Registry& registry, StudyFile& file,
                                  std::vector<BatchedTrial>& batch, const char* otherwise) {
  std::vector<Job> jobs;
  for (const auto& trial : batch) jobs.push_back(trial.job);
  try {
    BatchedSession session(std::move(jobs), registry);
    TrialUpdates marks;
    TrialUpdates reports;  // of an epoch
    for (size_t i = 0; i < batch.size(); ++i) {
      marks.push_back({batch[i].id, {.system_attributes = {{kBatchedAttribute, true}}}});
      auto made = std::make_unique<TrialReporter>(plan, file, batch[i].id, TrialLimit{});
      batch[i].reporter = made.get();
      if (plan.pruner == nullptr) made->collect_in(reports);
      session.add_callback(i, std::move(made));
    }
    file.update(marks);
    session.set_after_epoch([&] { file.update(std::exchange(reports, {})); });
    if (session.fit().interrupted) return true;
    record_ends(plan, file, session, batch);
    return false;
  } catch (const std::exception& error) {  // if one trial has failed, it is recorded when alone
    diagnostics::print(fmt::format("{} trials are trained {}: {}\n", batch.size(), otherwise,
                                   plain_message(error)));
    forget_batch(file, batch);
    return std::nullopt;
  }
}

/// Trains the trials of all seeds at once or, if that can't be, those of each seed. Returns whether
/// a signal has ended that. Trials that haven't ended otherwise are to be trained one by one.
bool train_batches(const SearchPlan& plan, const Registry& registry, StudyFile& file,
                   std::vector<std::vector<BatchedTrial>> by_seed) {
  if (by_seed.size() > 1) {
    std::vector<BatchedTrial> all;
    for (const auto& batch : by_seed) all.insert(all.end(), batch.begin(), batch.end());
    const auto is_interrupted = train_at_once(plan, registry, file, all, "seed by seed");
    if (is_interrupted) return *is_interrupted;
  }
  for (auto& batch : by_seed) {
    if (batch.size() < 2) continue;
    if (train_at_once(plan, registry, file, batch, "one by one").value_or(false)) return true;
  }
  return false;
}

}  // namespace

std::optional<TrialState> run_trial(const SearchPlan& plan, const Registry& registry,
                                    StudyFile& file, int64_t trial) {
  if (!is_ready_to_run(plan, file, trial)) {
    file.pause(trial);
    return TrialState::waiting;
  }
  TrialEnd end;
  try {
    end = train(plan, registry, file, trial, choose_parameters(plan, file, trial));
    if (!end.state) return std::nullopt;
  } catch (const std::exception& error) {
    end = {};
    end.state = TrialState::fail;
    end.attributes["error"] = plain_message(error);
  }
  return record_end(file, trial, end);
}

std::vector<std::optional<TrialState>> run_trials(const SearchPlan& plan, const Registry& registry,
                                                  StudyFile& file,
                                                  const std::vector<int64_t>& trials) {
  bool is_interrupted =
      trials.size() > 1 &&
      train_batches(plan, registry, file, batches_of(plan, registry, file, trials));
  std::vector<std::optional<TrialState>> states;
  for (const int64_t trial : trials) {
    const TrialState state = file.contents().trial(trial)->state;
    if (is_finished(state)) {
      states.emplace_back(state);
    } else if (is_interrupted) {
      states.emplace_back(std::nullopt);
    } else {
      states.push_back(run_trial(plan, registry, file, trial));
      is_interrupted = !states.back();
    }
  }
  return states;
}

std::filesystem::path folder_of(const Trial& trial) {
  const auto folder = trial.user_attributes.find("folder");
  if (folder == trial.user_attributes.end() || !folder->second.is_string()) return {};
  return folder->second.as_string();
}

std::filesystem::path checkpoint_of(const Trial& trial) {
  const std::filesystem::path folder = folder_of(trial);
  if (folder.empty()) return {};
  std::filesystem::path newest;
  for (const auto& run : run_folders(folder / "levin_logs")) {
    newest = newest_checkpoint(run / "checkpoints");
    if (!newest.empty()) break;
  }
  std::error_code error;
  const auto paused = std::filesystem::last_write_time(folder / kPauseName, error);
  if (error) return newest;
  if (newest.empty()) return folder / kPauseName;
  const auto written = std::filesystem::last_write_time(newest, error);
  return !error && written > paused ? newest : folder / kPauseName;
}

}  // namespace levin
