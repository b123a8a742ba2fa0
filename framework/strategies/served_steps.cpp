#include <levin/framework/strategies/served_steps.h>

#include <algorithm>
#include <utility>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/launch/run_secret.h>
#include <levin/framework/profiling/profiler.h>

namespace levin {
namespace {

std::vector<torch::Tensor> checked_parameters(std::vector<torch::Tensor> parameters,
                                              const std::vector<std::string>& names) {
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (!parameters[i].is_complex()) continue;
    throw ModuleError::contract("strategy = parameter_server",
                                fmt::format("can't send complex numbers: '{}'", names[i]),
                                "use strategy = ddp");
  }
  return parameters;
}

}  // namespace

ServedSteps::ServedSteps(GroupRanks& ranks, Heartbeat& heartbeat, std::vector<std::string> names,
                         std::vector<torch::Tensor> parameters, ServedStepsOptions options)
    : ranks_(ranks),
      heartbeat_(heartbeat),
      names_(std::move(names)),
      options_(std::move(options)),
      flat_(checked_parameters(std::move(parameters), names_), ranks.rank(),
            options_.servers.servers) {}

ServedSteps::~ServedSteps() = default;

void ServedSteps::serve(std::shared_ptr<Optimizer> optimizer,
                        const std::vector<torch::Tensor>& fixed) {
  // Steps that servers make while the module is used need memory of their own.
  if (has_server() && !are_in_step()) flat_.separate_own_chunks();
  optimizer->shard(slices_of(*optimizer, &flat_, fixed), {});
  layout_ = std::make_unique<ServerLayout>(
      flat_, options_.servers.servers, optimizer->groups().size(), options_.find_unused_parameters);
  messages_ = layout_->make_messages();
  if (has_server()) {
    share_ = std::make_unique<ServerShare>(flat_, *layout_, ranks_.rank(), optimizer, ranks_.size(),
                                           are_in_step());
  }
  optimizer_ = std::move(optimizer);
}

/// Starts this rank's server, and connects to all servers. A collective.
void ServedSteps::connect() {
  const auto token = ranks_.from_rank_zero("parameter_server", random_secret);
  if (has_server()) serve_here(token);
  const auto texts = ranks_.gather(server_ ? server_->address().text() : std::string());
  std::vector<ServerAddress> addresses;
  for (int64_t server = 0; server < options_.servers.servers; ++server) {
    addresses.push_back(ServerAddress::parse(texts[static_cast<size_t>(server)]));
  }
  client_ = std::make_unique<ParameterClient>(addresses, ranks_.rank(), token);
  steps_ = 0;
}

void ServedSteps::serve_here(const std::string& token) {
  const auto zeros = layout_->make_messages().select(0, 0);
  server_ = std::make_unique<ParameterServer>(
      ParameterServerOptions{.workers = ranks_.size(),
                             .staleness = options_.servers.clock_staleness(),
                             .rows = layout_->width(),
                             .token = token,
                             .host = options_.host,
                             .server = ranks_.rank(),
                             .servers = options_.servers.servers,
                             .delay_compensation = options_.servers.delay_compensation},
      layout_->numbers_of(zeros),
      [this](ServerSpan values, std::span<const ServerGradient> gradients) {
        share_->apply(values, gradients);
      });
}

bool ServedSteps::are_changed() const {
  for (size_t i = 0; i < versions_.size(); ++i) {
    if (flat_.parameters()[i]._version() != versions_[i]) return true;
  }
  return false;
}

void ServedSteps::note_versions() {
  versions_.clear();
  for (const auto& parameter : flat_.parameters()) versions_.push_back(parameter._version());
}

void ServedSteps::begin() {
  if (!are_served()) return;
  if (client_ == nullptr) connect();
  if (are_in_step() || (is_open_ && !are_changed())) return;
  ranks_.barrier();  // no gradient of the time before is still to come
  if (share_) {
    share_->load();
    server_->with_values([this](ServerSpan values) { share_->publish(values); });
  }
  note_versions();
  ranks_.barrier();
  is_open_ = true;
  if (options_.servers.delay_compensation == 0.0) return;
  // A server takes the values that a worker has pulled for those that its gradient belongs to.
  {
    const Heartbeat::Waiting waiting(heartbeat_);
    client_->pull(layout_->numbers_of(messages_));
  }
  ranks_.barrier();
}

torch::Tensor ServedSteps::clip(double max_norm) {
  if (options_.servers.servers > 1) {
    throw ConfigError::conflict(
        fmt::format("gradients that are clipped by their norm, and {} parameter servers, none of "
                    "which has all of them",
                    options_.servers.servers),
        "use servers = 1");
  }
  push_.max_norm = max_norm;
  norm_ = at::scalar_tensor(pull_.norm, at::kDouble);
  return norm_;
}

/// Writes the gradients into the messages.
void ServedSteps::pack() {
  push_.used.clear();
  const bool has_rows = rows_ > 0.0;
  for (size_t i = 0; i < names_.size(); ++i) {
    const bool has_gradient = has_rows && flat_.parameters()[i].grad().defined();
    if (options_.find_unused_parameters) {
      push_.used.push_back(has_gradient ? 1.0 : 0.0);
    } else if (has_rows && !has_gradient) {
      throw ModuleError::contract(
          "backward", fmt::format("left parameter '{}' without a gradient", names_[i]),
          "set find_unused_parameters = true, or let the loss depend on it");
    }
  }
  if (has_rows) {
    layout_->put_gradients(messages_);
  } else {
    messages_.zero_();
  }
}

void ServedSteps::step(const std::vector<ParameterGroup>& groups) {
  if (!std::exchange(has_exchanged_, false)) {
    if (!is_counted_) count(1.0);
    push_.rates.clear();
    for (const auto& group : groups) {
      push_.rates.push_back(group.learning_rate);
      push_.rates.push_back(group.weight_decay);
    }
    exchange();
  }
  finish();
}

double ServedSteps::step_without_rows() {
  rows_ = 0.0;
  push_ = {.rates = std::vector<double>(2 * optimizer_->groups().size())};
  exchange();
  has_exchanged_ = answer_.weight > 0.0;
  if (!has_exchanged_) finish();  // no rank has rows, and none will call `step`
  return answer_.weight;
}

void ServedSteps::exchange() {
  const ProfilePart profiled(profiler_, Part::backward);
  const at::NoGradGuard no_grad;
  begin();
  pack();
  ranks_.flags().write(push_.flags);
  for (int64_t i = 0; i < layout_->servers(); ++i) layout_->put(messages_.select(0, i), push_);
  const Heartbeat::Waiting waiting(heartbeat_);
  const double start = files::monotonic_seconds();
  const int64_t before = sent_bytes();
  push();
  ++steps_;
  const double pushed = files::monotonic_seconds();
  const int64_t between = sent_bytes();
  pull();
  reduction_.ready = start;
  reduction_.end = files::monotonic_seconds();
  reduction_.collectives.clear();
  reduction_.collectives.push_back({start, pushed, between - before});
  reduction_.collectives.push_back({pushed, reduction_.end, sent_bytes() - between});
  if (profiler_ != nullptr && ranks_.size() > 1) profiler_->reduced(reduction_);
}

/// Sends the messages or, if gradients are sparse, what isn't zero of them.
void ServedSteps::push() {
  const auto sparse = layout_->sparse_numbers();
  if (sparse.empty()) {
    client_->push(layout_->numbers_of(messages_), {}, {.weight = rows_});
    return;
  }
  const auto places = at::tensor(at::ArrayRef<int64_t>(sparse));
  const auto numbers = messages_.view({-1}).index_select(0, places);
  client_->push(layout_->numbers_of(numbers), sparse, {.weight = rows_});
}

/// Receives the weights from all servers.
void ServedSteps::pull() {
  answer_ = client_->pull(layout_->numbers_of(messages_));
  if (share_) share_->check();
  layout_->take_weights(messages_);
  flat_.note_changes();
  note_versions();
  pull_ = layout_->pull_in(messages_.select(0, 0));
}

/// Ends a step: reads the flags, and makes buffers the same.
void ServedSteps::finish() {
  const at::NoGradGuard no_grad;
  if (norm_.defined()) norm_.fill_(pull_.norm);
  norm_.reset();
  push_ = {};
  is_counted_ = false;
  if (!are_in_step()) staleness_ = std::max(staleness_, steps_ - answer_.slowest);
  read_flags();
  if (are_in_step()) send_buffers();
}

void ServedSteps::read_flags() {
  auto flags = pull_.flags;
  if (!are_in_step()) {  // each is known to all ranks after the step of that number
    for (double& flag : flags) flag = flag == static_cast<double>(steps_) ? 1.0 : 0.0;
  }
  ranks_.flags().read(flags, ranks_);
}

void ServedSteps::send_buffers() {
  if (!options_.send_buffers) return;
  const Heartbeat::Waiting waiting(heartbeat_);
  options_.send_buffers();
}

void ServedSteps::meet() {
  if (!std::exchange(is_open_, false)) return;
  const at::NoGradGuard no_grad;
  ranks_.barrier();  // all gradients are in the weights now
  {
    const Heartbeat::Waiting waiting(heartbeat_);
    pull();
  }
  send_buffers();
}

int64_t ServedSteps::sent_bytes() const {
  uint64_t bytes = client_ ? client_->bytes_sent() : 0;
  if (server_) bytes += server_->bytes_sent();
  return ended_bytes_ + static_cast<int64_t>(bytes);
}

void ServedSteps::disconnect() {
  is_open_ = false;
  ended_bytes_ = sent_bytes();
  client_.reset();
  server_.reset();
}

void ServedSteps::end() {
  disconnect();
  if (!std::exchange(has_ended_, true)) flat_.release();
}

}  // namespace levin
