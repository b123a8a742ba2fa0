#include <levin/serving/commands/bench_serve.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <levin/cli/arguments.h>
#include <levin/cli/exit_status.h>
#include <levin/cli/output.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/home.h>
#include <levin/framework/core/value.h>
#include <levin/framework/loops/stop_signal.h>
#include <levin/serving/commands/token_file.h>
#include <levin/serving/load/latency_plot.h>
#include <levin/serving/load/load_requests.h>
#include <levin/serving/load/load_sweep.h>

namespace levin {
namespace {

/// How long a server may take to be connected to, and to say what it has.
constexpr double kServerSeconds = 10.0;

void require_number(bool is_right, std::string_view option, double value,
                    std::string_view requirement) {
  if (!is_right) throw ConfigError::invalid_value(option, fmt::format("{}", value), requirement);
}

void check(const BenchServeOptions& o, const Arguments& arguments) {
  require_number(o.connections >= 1 && o.connections <= 60000, "--connections",
                 static_cast<double>(o.connections), "it must be from 1 to 60000");
  require_number(o.rate >= 0.0 && o.rate <= 1e7, "--rate", o.rate,
                 "it must be the number of requests a second, or 0 for a closed loop");
  require_number(o.seconds > 0.0 && o.seconds <= 1e6, "--seconds", o.seconds, "it must be above 0");
  require_number(o.warmup >= 0.0 && o.warmup <= 1e6, "--warmup", o.warmup,
                 "it must not be negative");
  require_number(o.timeout > 0.0 && o.timeout <= 3600.0, "--timeout", o.timeout,
                 "it must be above 0 and at most 3600 seconds");
  require_number(o.steps >= 1 && o.steps <= 1000, "--steps", static_cast<double>(o.steps),
                 "it must be from 1 to 1000");
  if (o.arrivals != "poisson" && o.arrivals != "constant") {
    throw ConfigError::unknown_name("kind of arrivals", o.arrivals, {"poisson", "constant"});
  }
  if (o.sweep && o.rate > 0.0) {
    throw ConfigError::conflict("--sweep and --rate exclude each other",
                                "a sweep chooses its rates by the maximum that it measures");
  }
  if (!o.sweep && !arguments.output.empty()) {
    throw ConfigError("--output needs --sweep; a single load prints its figures, see --json");
  }
}

Value fetch_json(const LoadTarget& target, const std::string& request, std::string_view what) {
  const FetchedResponse response = fetch(target, request, kServerSeconds);
  if (response.status != 200) {
    throw DataError(fmt::format("{} answers with status {} when asked for {}: {}",
                                target.server().origin(), response.status, what,
                                shortened(response.body)));
  }
  try {
    return Value::from_json(response.body);
  } catch (const CheckpointError&) {
    throw DataError(
        fmt::format("{} sends no JSON when asked for {}", target.server().origin(), what));
  }
}

/// The name of the first model of the server's index.
std::string first_model(const LoadTarget& target, const std::string& token) {
  std::string request = get_request(target.server(), "/v2/repository/index", token);
  request.replace(0, 3, "POST");
  request.insert(request.size() - 2, "Content-Length: 0\r\n");
  const Value index = fetch_json(target, request, "its models");
  std::vector<std::string> names;
  if (index.is_array()) {
    for (const auto& each : index.as_array()) {
      if (each.contains("name") && each.at("name").is_string()) {
        names.push_back(each.at("name").as_string());
      }
    }
  }
  if (names.empty()) {
    throw DataError(
        fmt::format("{} has no models; name one with --model", target.server().origin()));
  }
  return names.front();
}

/// What is sent: of the model that the options name, or else of the first one.
std::vector<std::string> requests_of(const LoadTarget& target, BenchServeOptions& options) {
  RequestOptions wanted;
  wanted.format = load_format(options.format);
  wanted.path = options.path;
  wanted.rows = options.request_rows;
  wanted.seed = static_cast<uint64_t>(options.seed);
  if (!options.token_file.empty()) {
    wanted.token = read_token_file(expand_home(options.token_file, "--token-file"));
  }
  std::vector<TensorMetadata> inputs;
  if (wanted.format != LoadFormat::rows || options.rows.empty() || !options.model.empty()) {
    if (options.model.empty()) options.model = first_model(target, wanted.token);
    const std::string path = "/v2/models/" + options.model;
    const std::string request = get_request(target.server(), path, wanted.token);
    inputs = inputs_of_metadata(fetch_json(target, request, "the metadata of its model").to_json());
  }
  std::optional<LoadRows> rows;
  if (!options.rows.empty()) {
    const std::string path = expand_home(options.rows, "--rows");
    const bool has_cells = inputs.size() == 1 && inputs.front().type == WireType::bytes &&
                           std::filesystem::path(path).extension() != ".npy";
    rows = has_cells ? read_load_cells(path) : read_load_rows(path);
  }
  wanted.model = options.model;
  return make_load_requests(target.server(), inputs, rows, wanted);
}

/// Refuses a load whose requests are all wrong, with the server's words.
void try_one(const LoadTarget& target, const std::string& request, double seconds,
             bool has_made_up_rows) {
  const FetchedResponse response = fetch(target, request, seconds);
  if (response.status >= 200 && response.status < 300) return;
  if (response.status == 429 || response.status == 503) return;  // it has much to do
  const bool may_be_rows = has_made_up_rows && response.status == 400;
  throw DataError(fmt::format(
      "{} answers a request with status {}: {}{}", target.server().origin(), response.status,
      shortened(response.body),
      may_be_rows ? ". The rows were made up; give some that the model knows with --rows FILE"
                  : ""));
}

void say(const LoadStep& step) {
  const double p99 = step.result.latency.percentile(99.0) * 1e3;
  const std::string sent = step.rate > 0.0 ? fmt::format("{:.0f} requests a second", step.rate)
                                           : std::string("a closed loop");
  diagnostics::print(fmt::format("{}: {:.0f} answers a second, p99 {:.3g} ms\n", sent,
                                 step.result.throughput, p99));
}

void write_files(const std::string& output, const LoadSweep& sweep, const std::string& title,
                 const Value& value) {
  const std::string svg = draw_latencies(sweep.steps, title, sweep.maximum.result.throughput);
  files::write_atomically(output + ".svg", svg);
  files::write_atomically(output + ".json", value.to_json(2) + "\n");
  files::write_atomically(output + ".csv", load_csv(sweep.all()));
  diagnostics::print(fmt::format("written to {}.svg, .json and .csv\n", output));
}

/// Throws DataError if the server has gone away meanwhile.
int finish(const LoadTarget& target, const std::vector<LoadStep>& steps, const Value& value,
           bool is_json) {
  const std::string text = load_table(steps);
  const std::string remarks = load_remarks(steps);
  if (is_json) {
    diagnostics::print(text + remarks);
    write_output(value.to_json() + "\n");
  } else {
    write_output(text);
    diagnostics::print(remarks);
  }
  const auto is_interrupted = [](const LoadStep& step) { return step.result.is_interrupted; };
  if (std::any_of(steps.begin(), steps.end(), is_interrupted)) return kInterrupted;
  const auto has_lost = [](const LoadStep& step) {
    return step.result.broken + step.result.expired > 0;
  };
  if (std::any_of(steps.begin(), steps.end(), has_lost)) require_server(target, kServerSeconds);
  const auto is_answered = [](const LoadStep& step) { return step.result.answered > 0; };
  return std::any_of(steps.begin(), steps.end(), is_answered) ? kDone : kFailed;
}

}  // namespace

Fields describe(BenchServeOptions& o) {
  return fields_of<BenchServeOptions>({
      {"model", &o.model, "the model to ask; by default the first one that the server has"},
      {"format", &o.format, "rows (POST /predict), json or binary (Open Inference Protocol)"},
      {"rows", &o.rows, "a .npy or CSV file whose rows are sent; by default random ones"},
      {"path", &o.path, "the path that is asked, instead of that of the format"},
      {"request_rows", &o.request_rows, "rows of each request"},
      {"connections", &o.connections, "connections, each with one request under way"},
      {"rate", &o.rate, "requests a second (open loop); 0: as many as are answered (closed loop)"},
      {"arrivals", &o.arrivals, "when the requests of a rate come: poisson or constant"},
      {"seconds", &o.seconds, "seconds that each load is measured"},
      {"warmup", &o.warmup, "seconds of load before, which don't count"},
      {"timeout", &o.timeout, "seconds after which a request counts as unanswered"},
      {"sweep", &o.sweep,
       "measures the maximum, then open loops up to it; writes plot and figures"},
      {"steps", &o.steps, "open loops of a sweep"},
      {"seed", &o.seed, "of random rows and arrivals"},
      {"token_file", &o.token_file, "a file with the token that the server asks for"},
      {"ca_file", &o.ca_file, "a PEM file with certificates to trust, for https"},
      {"insecure", &o.insecure, "whether any certificate is trusted"},
  });
}

int bench_serve(const Arguments& arguments) {
  if (arguments.words.size() != 1) {
    throw ConfigError(
        fmt::format("bench-serve takes one URL, such as http://127.0.0.1:8000, but got {}",
                    arguments.words.size()));
  }
  BenchServeOptions options;
  set_options(describe(options), arguments);
  check(options, arguments);
  require_output();
  const LoadTarget target(parse_server_address(arguments.words.front()),
                          options.ca_file.empty() ? "" : expand_home(options.ca_file, "--ca-file"),
                          options.insecure);
  LoadPlan plan;
  plan.requests = requests_of(target, options);
  plan.connections = options.connections;
  plan.rate = options.rate;
  plan.is_poisson = options.arrivals == "poisson";
  plan.warmup = options.warmup;
  plan.seconds = options.seconds;
  plan.timeout = options.timeout;
  plan.seed = static_cast<uint64_t>(options.seed);
  try_one(target, plan.requests.front(), options.timeout, options.rows.empty());

  const StopSignal signal;
  const auto is_stopped = [] { return StopSignal::received(); };
  Value value = Value::Object{};
  value["url"] = arguments.words.front();
  value["model"] = options.model;
  value["format"] = options.format;
  value["request_rows"] = options.request_rows;
  if (!options.sweep) {
    const LoadStep step{plan.rate, plan.connections, run_load(target, plan, is_stopped)};
    for (const auto& [name, each] : to_value(step).as_object()) value[name] = each;
    return finish(target, {step}, value, arguments.json);
  }
  const LoadSweep sweep = run_sweep(target, plan, options.steps, is_stopped, say);
  value["maximum"] = to_value(sweep.maximum);
  Value::Array steps;
  for (const auto& step : sweep.steps) steps.push_back(to_value(step));
  value["steps"] = std::move(steps);
  const std::string subject = options.model.empty() ? target.server().origin() : options.model;
  const std::string title =
      fmt::format("{}: latency against load ({}, {} a request, {})", subject, options.format,
                  counted(options.request_rows, "row"), counted(options.connections, "connection"));
  write_files(arguments.output.empty() ? "bench-serve" : arguments.output, sweep, title, value);
  return finish(target, sweep.all(), value, arguments.json);
}

Command bench_serve_command() {
  return {.name = "bench-serve",
          .usage = "URL",
          .help = "load a server with requests and measure its latency",
          .run = [](const Arguments& arguments, const Registry&) { return bench_serve(arguments); },
          .with_options = options_of<BenchServeOptions>(),
          .shared_options = {"json", "output"},
          .notes =
              "  --json                     prints the figures as one object\n"
              "  --output NAME              a sweep writes NAME.svg, .json and .csv; by default "
              "bench-serve\n\n"
              "  levin bench-serve http://127.0.0.1:8000 --rate 500\n"
              "  levin bench-serve http://127.0.0.1:8000 --sweep --output load\n\n"
              "In a closed loop, each connection sends a request when its last one is answered, "
              "so a slow server\ngets fewer of them. In an open loop, requests come at their "
              "times whatever the server does, and\na latency counts from the time at which its "
              "request was due, so that a stall isn't hidden.\n"};
}

}  // namespace levin
