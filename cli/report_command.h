#pragma once

#include <filesystem>

#include <levin/cli/command.h>
#include <levin/framework/report/run_report.h>

namespace levin {

/// Reads what a run's folder says of the run: run.json or, in folders of runs that have none, the
/// settings of config.yaml or hparams.yaml; metrics.csv; and the checkpoints. A file that can't be
/// read is left out with a warning. Throws DataError if the folder has none of these files.
RunReport read_run_report(const std::filesystem::path& folder);

/// Writes a run's report, an HTML page of a single file that needs no network, and returns its
/// path: `output` or, if that is empty, report.html in the folder. Throws what read_run_report
/// throws, and CheckpointError if the file can't be written.
///
///     levin::write_run_report("levin_logs/version_0");
std::filesystem::path write_run_report(const std::filesystem::path& folder,
                                       const std::filesystem::path& output = {});

/// The command `levin report RUN [--output FILE]`, which calls write_run_report. It throws
/// ConfigError unless one run is named.
Command report_command();

}  // namespace levin
