#include <levin/framework/launch/supervisor.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/home.h>
#include <levin/framework/launch/cluster.h>
#include <levin/framework/launch/failure_report.h>
#include <levin/framework/launch/rank_environment.h>
#include <levin/framework/launch/run_secret.h>

namespace levin {
namespace {

constexpr int kWrongConfiguration = 2;
constexpr int kInterrupted = 130;
/// Milliseconds between two looks for ended ranks if no signal arrives: the calling program may
/// have replaced the handler of SIGCHLD, and the thread sanitizer delays signals.
constexpr int kLongestWait = 250;
/// Seconds the other ranks have to save a checkpoint after the stop signal ended one rank outright.
constexpr double kTimeToSave = 10;

std::string describe_end(const ChildEnd& end) {
  if (!end.by_signal) return fmt::format("exit status {}", end.code);
  const char* name = ::strsignal(end.code);
  return fmt::format("killed by signal {} ({})", end.code, name == nullptr ? "unknown" : name);
}

}  // namespace

Supervisor::Supervisor(const LaunchOptions& options)
    : options_(options),
      output_folder_(expand_home(options.output_folder, "output_folder")),
      report_folder_(temporary_folder()) {
  if (options.command.empty()) {
    command_ = own_command();
  } else {
    command_.path = find_program(options.command.front());
    command_.arguments = options.command;
  }
  const char* given = std::getenv("LEVIN_RUN_ID");
  if (given != nullptr) {
    run_id_ = given;
  } else if (options.num_nodes > 1) {  // the launchers of all hosts must arrive at the same id
    run_id_ =
        fmt::format("{}{}:{}", Cluster::kSharedRunId, options.master_address, options.master_port);
  } else {
    run_id_ = random_name();
  }
  const char* secret = std::getenv("LEVIN_RUN_SECRET");
  if (secret != nullptr && *secret != '\0') {
    secret_ = secret;
  } else if (options.num_nodes == 1) {
    secret_ = random_secret();
  }
  if (!output_folder_.empty()) files::create_folder(output_folder_);
}

Supervisor::~Supervisor() {
  for (Rank& rank : ranks_) {
    if (rank.runs()) signal_group(rank.process, SIGKILL);
  }
  for (Rank& rank : ranks_) {
    while (rank.runs()) {
      rank.end = end_of_child(rank.process);
      if (!rank.end) ::usleep(1000);
    }
  }
  std::error_code ignored;
  std::filesystem::remove_all(report_folder_, ignored);
}

int Supervisor::run() {
  for (int64_t attempt = 0;; ++attempt) {
    start_ranks(attempt);
    wait_for_ranks();
    pump_.close_sources();
    const auto failure = first_failure();
    const bool again = failure && attempt < options_.max_restarts && !is_interrupted() &&
                       failure->status != kWrongConfiguration;
    if (failure) {
      auto line = fmt::format("rank {} failed: {}", failure->rank, failure->reason);
      if (failure->is_secondary) line += " (as a consequence of another rank's failure)";
      if (again) {
        line += fmt::format("; restarting all ranks (restart {} of {})", attempt + 1,
                            options_.max_restarts);
      }
      pump_.say(OutputPump::error, line);
    }
    write_what_waits();
    if (!again) return finish(failure);
  }
}

int Supervisor::finish(const std::optional<Failure>& failure) const {
  if (signals_.stops() > 1) return 128 + signals_.last_stop();
  if (failure) return failure->status;
  return is_interrupted() ? kInterrupted : 0;
}

void Supervisor::start_ranks(int64_t attempt) {
  int64_t port = options_.master_port;
  if (port == 0) port = port_.emplace().number();  // gives back the port of the attempt before
  passed_on_ = false;
  deadline_.reset();
  ranks_.assign(static_cast<size_t>(options_.processes), {});
  for (int64_t local = 0; local < options_.processes; ++local) {
    Rank& rank = ranks_[static_cast<size_t>(local)];
    rank.number = options_.node_rank * options_.processes + local;
    rank.error_file = report_folder_ / fmt::format("{}-rank-{}", attempt, rank.number);
    start_rank(rank, local, attempt, port);
  }
}

void Supervisor::start_rank(Rank& rank, int64_t local_rank, int64_t attempt, int64_t port) {
  ChildCommand command = command_;
  command.environment = rank_environment(options_, {.rank = rank.number,
                                                    .local_rank = local_rank,
                                                    .attempt = attempt,
                                                    .master_port = port,
                                                    .run_id = run_id_,
                                                    .secret = secret_,
                                                    .error_file = rank.error_file});
  if (rank.number == 0) {
    rank.process = start_child(command, signals_);
    return;
  }
  const Descriptor nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  command.input = nothing.get();
  Descriptor out, error;
  if (output_folder_.empty()) {
    const auto prefix = fmt::format("[rank {}] ", rank.number);
    for (const auto stream : {OutputPump::out, OutputPump::error}) {
      Pipe pipe = Pipe::open();
      if (!pipe.write.is_open()) {
        throw DistributedError(
            fmt::format("the launcher can't open a pipe for the output of rank {}: {}; raise the "
                        "limit of open files (ulimit -n)",
                        rank.number, ::strerror(errno)));
      }
      (stream == OutputPump::out ? out : error) = std::move(pipe.write);
      pump_.add(std::move(pipe.read), stream, prefix);
    }
  } else {
    out = open_output(rank, "out");
    error = open_output(rank, "err");
  }
  command.output = out.get();
  command.error = error.get();
  rank.process = start_child(command, signals_);
}

Descriptor Supervisor::open_output(const Rank& rank, const char* ending) const {
  const auto path = output_folder_ / fmt::format("rank-{}.{}", rank.number, ending);
  Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  if (!file.is_open()) throw CheckpointError::io("write", path.string(), ::strerror(errno));
  return file;
}

void Supervisor::wait_for_ranks() {
  while (any_runs()) {
    wait_for_something();
    signals_.clear();
    pass_on_stops();
    collect_ends();
    if (deadline_ && files::monotonic_seconds() >= *deadline_) kill_ranks();
    pump_.work();
  }
  deadline_.reset();
}

void Supervisor::wait_for_something() {
  std::vector<pollfd> waits = {{signals_.descriptor(), POLLIN, 0}};
  pump_.add_waits(waits);
  int milliseconds = kLongestWait;
  if (deadline_) {
    const double left = std::max(0.0, *deadline_ - files::monotonic_seconds());
    milliseconds = std::min(milliseconds, static_cast<int>(std::ceil(left * 1e3)));
  }
  ::poll(waits.data(), waits.size(), milliseconds);
}

void Supervisor::pass_on_stops() {
  if (signals_.stops() > 0 && !passed_on_) {
    passed_on_ = true;
    for (const Rank& rank : ranks_) {
      if (rank.runs()) signal_group(rank.process, signals_.last_stop());
    }
  }
  if (signals_.stops() > 1) kill_ranks();
}

void Supervisor::collect_ends() {
  for (Rank& rank : ranks_) {
    if (!rank.runs()) continue;
    rank.end = end_of_child(rank.process);
    if (!rank.end) continue;
    rank.ended_at = files::monotonic_seconds();
    const int status = rank.end->exit_status();
    if (status == 0 || (status == kInterrupted && !rank.end->by_signal) || deadline_) continue;
    const auto failure = failure_of(rank);
    const double least = !failure ? kTimeToSave : failure->is_secondary ? kLongestReportDelay : 0;
    deadline_ = rank.ended_at + std::max(options_.grace_seconds, least);
  }
}

void Supervisor::kill_ranks() {
  for (Rank& rank : ranks_) {
    if (!rank.runs() || rank.was_killed) continue;
    rank.was_killed = true;
    signal_group(rank.process, SIGKILL);
  }
  deadline_.reset();
}

void Supervisor::write_what_waits() {
  for (pump_.work(); pump_.has_waiting() && signals_.stops() < 2; pump_.work()) {
    wait_for_something();
    signals_.clear();
  }
}

bool Supervisor::any_runs() const {
  return std::any_of(ranks_.begin(), ranks_.end(), [](const Rank& rank) { return rank.runs(); });
}

bool Supervisor::is_interrupted() const {
  return signals_.stops() > 0 || std::any_of(ranks_.begin(), ranks_.end(), [](const Rank& rank) {
           return rank.end && !rank.end->by_signal && rank.end->code == kInterrupted;
         });
}

std::optional<Supervisor::Failure> Supervisor::failure_of(const Rank& rank) const {
  if (!rank.end || rank.end->exit_status() == 0) return std::nullopt;
  if (!rank.end->by_signal && rank.end->code == kInterrupted) return std::nullopt;
  const bool was_killed = rank.was_killed && rank.end->by_signal;
  Failure failure{.rank = rank.number,
                  .status = rank.end->exit_status(),
                  .reason = describe_end(*rank.end),
                  .is_secondary = false,
                  .seconds = rank.ended_at};
  if (const auto report = read_failure_report(rank.error_file)) {
    failure.reason = in_one_line(report->message);
    failure.is_secondary = report->because_of_another_rank;
    failure.seconds = report->seconds;
    if (was_killed) failure.status = 1;
    return failure;
  }
  if (was_killed) return std::nullopt;
  const bool was_asked =
      rank.end->by_signal && signals_.stops() > 0 &&
      (rank.end->code == SIGINT || rank.end->code == SIGTERM || rank.end->code == SIGHUP);
  return was_asked ? std::nullopt : std::optional(failure);
}

std::optional<Supervisor::Failure> Supervisor::first_failure() const {
  std::optional<Failure> first;
  for (const Rank& rank : ranks_) {
    const auto failure = failure_of(rank);
    if (!failure) continue;
    const bool sooner =
        !first || (first->is_secondary && !failure->is_secondary) ||
        (first->is_secondary == failure->is_secondary && failure->seconds < first->seconds);
    if (sooner) first = failure;
  }
  return first;
}

}  // namespace levin
