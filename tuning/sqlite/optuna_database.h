#pragma once

#include <filesystem>
#include <vector>

#include <levin/tuning/study/trial.h>

namespace levin {

/// Writes studies as a new SQLite database of Optuna's (its schema 12, that of Optuna 3.2 and
/// newer), which `optuna.load_study(storage="sqlite:///FILE")` and optuna-dashboard open. A trial
/// that runs waits in the copy, because no process runs it there. Throws CheckpointError if the
/// file exists or can't be written; then no file is left.
void write_optuna_database(const std::vector<const Study*>& studies,
                           const std::filesystem::path& path);

/// Reads the studies of such a database, in the order of their ids. Trials that run in it wait.
/// Throws CheckpointError if the file can't be read, and DataError if it isn't such a database.
std::vector<Study> read_optuna_database(const std::filesystem::path& path);

}  // namespace levin
