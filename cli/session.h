#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <levin/framework/config/job.h>
#include <levin/framework/config/registry.h>
#include <levin/framework/data/datamodule.h>
#include <levin/framework/run/module.h>
#include <levin/framework/trainer/trainer.h>

namespace levin {

class ConfigSaver;
class RunRecorder;

/// A configuration made real: the Trainer with its callbacks and loggers, the module and the data
/// module. Many sessions can live in one process, one after another.
///
///     const levin::ConfigNode root = levin::read_configuration({"digits.yaml"}, {});
///     levin::Session session(levin::read_job(registry, root), registry);
///     const levin::History history = session.fit();
///     const double loss = session.trainer().run().metrics().at("val_loss");
class Session {
 public:
  /// Seeds the random generators, if the job has a seed, and makes the objects; nothing is written
  /// yet. A job without a model must name a checkpoint, which says which model it is of. Throws
  /// ConfigError if the job names no data, or neither model nor checkpoint; CheckpointError for a
  /// checkpoint that can't be read; and what the constructors of the classes throw.
  Session(Job job, const Registry& registry);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const Job& job() const { return job_; }
  Trainer& trainer() { return trainer_; }
  Module& module() { return *model_; }
  DataModule& data() { return *data_; }
  /// The file that the job's ckpt_path stands for; empty for none.
  const std::string& ckpt_path() const { return ckpt_path_; }
  /// Adds a callback that the configuration doesn't name. With fast_dev_run, one that saves
  /// checkpoints is left out, as in Lightning.
  void add_callback(std::unique_ptr<Callback> callback, HookSet hooks = HookSet::all());

  /// Puts the whole configuration into the run folder, if anything makes one: a file config.yaml
  /// that repeats the fit. It records the seed that is really used, which is the checkpoint's if
  /// the fit resumes.
  void record_config(const Registry& registry);
  /// Puts the record of the run into that folder as well, a file run.json (RunRecorder).
  void record_run(const Registry& registry);
  /// The record, which belongs to the Trainer; null without `record_run`, or if nothing makes a run
  /// folder.
  RunRecorder* run_recorder() const { return run_recorder_; }
  /// Whether the job's switch asks for a report of the run.
  bool wants_report() const;
  /// The folder with that file, while the session exists; empty before the fit, and if there is
  /// none.
  std::filesystem::path config_folder() const;

  /// Trains; goes on from the checkpoint, if there is one.
  History fit() { return trainer_.fit(*model_, *data_, ckpt_path_); }

 private:
  Job job_;
  std::string ckpt_path_;
  Trainer trainer_;
  std::unique_ptr<DataModule> data_;
  std::shared_ptr<Module> model_;
  ConfigSaver* config_saver_ = nullptr;  // belongs to the Trainer, as the next one does
  RunRecorder* run_recorder_ = nullptr;
  bool makes_run_folder_ = false;
};

}  // namespace levin
