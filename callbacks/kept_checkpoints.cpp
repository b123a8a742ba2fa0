#include <levin/callbacks/kept_checkpoints.h>

#include <fmt/format.h>
#include <levin/callbacks/checkpoint_folder.h>
#include <levin/framework/core/diagnostics.h>

#include <utility>

namespace levin {

KeptCheckpoints::KeptCheckpoints(ModelCheckpointOptions options, std::string key)
    : options_(std::move(options)),
      paths_(options_, std::move(key)),
      best_(options_.save_top_k, BestCheckpoints::ranking_by(options_.monitor, options_.mode)) {}

void KeptCheckpoints::save_to(Value& values) const {
  values["dirpath"] = folder().string();
  values["best_k_models"] = best_.to_values();
  values["best_model_path"] = best_.best_path().string();
  values["best_model_score"] = best_.best_score() ? Value(*best_.best_score()) : Value();
  values["last_model_path"] = last_path_.string();
  values["top_step"] = top_step_;
  values["last_step"] = last_step_;
}

void KeptCheckpoints::load_from(const Value& values) {
  best_.load_values(values.at("best_k_models").as_array());
  paths_.set_folder(values.at("dirpath").as_string());
  last_path_ = values.at("last_model_path").as_string();
  top_step_ = values.at("top_step").as_int();
  last_step_ = values.at("last_step").as_int();
}

void KeptCheckpoints::begin(Run& run, bool resumed) {
  const auto folder_before = folder();
  paths_.begin(run);
  if (!resumed) {
    best_.clear();
    last_path_.clear();
    top_step_ = last_step_ = -1;
    return;
  }
  CheckpointPaths::Files files{.best = {}, .last = last_path_};
  for (const auto& saved : best_.all()) files.best.push_back(saved.path);
  files = paths_.find_again(run, folder_before, files);
  last_path_ = files.last;
  best_.set_paths(files.best);
  tell(run);
}

bool KeptCheckpoints::has_top_of(const Run& run) const {
  return options_.save_top_k == 0 || top_step_ == run.global_step();
}

void KeptCheckpoints::save_top(Run& run, double score) {
  if (!best_.admits(score)) return;
  // Names and what is replaced mustn't depend on how fast files are written.
  run.wait_for_saves();
  SaveOptions save_options{.folder = folder()};
  for (const auto& dropped : best_.make_room()) {
    if (is_checkpoint_of_folder(folder(), dropped)) save_options.replaces.push_back(dropped);
  }
  const auto path = paths_.for_step(run, save_options.replaces);
  std::erase(save_options.replaces, path);
  best_.add(path, score);
  top_step_ = run.global_step();
  run.set_last_checkpoint(path);
  if (options_.save_last.name() == "link" && last_step_ != run.global_step()) {
    take_last(run);
    save_options.link = last_path_;
  }
  tell(run);
  request(run, path, std::move(save_options));
}

void KeptCheckpoints::take_last(Run& run) {
  last_step_ = run.global_step();
  run.wait_for_saves();
  last_path_ = paths_.for_last(run, last_path_);
}

void KeptCheckpoints::save_last(Run& run) {
  if (!options_.save_last.is_on() || last_step_ == run.global_step()) return;
  take_last(run);
  tell(run);
  request(run, last_path_, {});
}

void KeptCheckpoints::save_exception(Run& run, const std::exception& error) {
  const auto path = paths_.for_exception(run);
  if (run.is_global_zero()) {
    diagnostics::print(
        fmt::format("saving {} because training failed: {}\n", path.string(), error.what()));
  }
  run.set_last_checkpoint(path);
  request(run, path, {});
}

void KeptCheckpoints::request(Run& run, const std::filesystem::path& path,
                              SaveOptions save_options) {
  save_options.weights_only = options_.save_weights_only;
  save_options.asynchronous = options_.asynchronous;
  if (options_.verbose && run.is_global_zero()) {
    diagnostics::print(fmt::format("epoch {}, step {}: saving {}\n", run.epoch(), run.global_step(),
                                   path.string()));
  }
  run.save(path, std::move(save_options));
}

void KeptCheckpoints::tell(Run& run) const {
  if (!best_.best_path().empty()) run.set_best_checkpoint(best_.best_path());
  if (!last_path_.empty()) run.set_last_checkpoint(last_path_);
}

}  // namespace levin
