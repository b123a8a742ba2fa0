#include <levin/serving/http/http_worker.h>

#include <fcntl.h>

#include <algorithm>
#include <exception>
#include <future>
#include <string>
#include <utility>

#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>

#include <levin/serving/http/http_transport.h>
#include <levin/serving/http/server_connection.h>

namespace levin {
namespace {

/// Connections above the limit that get an answer; more are closed without one.
constexpr int64_t kMostRefused = 64;

/// How often deadlines are looked at: a quarter of the shortest timeout.
HttpClock::duration sweep_period(const HttpOptions& options) {
  const double shortest =
      std::min({options.read_timeout, options.write_timeout, options.idle_timeout});
  return http_seconds(std::clamp(shortest / 4, 0.005, 0.5));
}

}  // namespace

HttpWorker::HttpWorker(HttpShared& shared, boost::asio::ssl::context* tls)
    : shared_(shared),
      tls_(tls),
      work_(context_.get_executor()),
      timer_(context_),
      period_(sweep_period(shared.options)),
      mailbox_(std::make_shared<HttpMailbox>(context_)) {}

HttpWorker::~HttpWorker() { stop(); }

void HttpWorker::start() {
  thread_ = std::thread([this] { run(); });
}

void HttpWorker::run() {
  mailbox_->enter();
  tick();
  for (;;) {
    try {
      run_events();
      return;
    } catch (const std::exception& error) {
      shared_.log(std::string("serving: a connection failed: ") + error.what());
    }
  }
}

void HttpWorker::run_events() {
  while (!context_.stopped()) {
    if (context_.poll() > 0) continue;
    waits_.wait(
        connections_.size() <= kFewConnections, [this] { return context_.poll() > 0; },
        [this] { context_.run_one(); });
  }
}

void HttpWorker::stop() {
  if (!thread_.joinable()) return;
  context_.stop();
  thread_.join();
  mailbox_->close();
  for_each([](ServerConnection& connection) { connection.close(); });
}

void HttpWorker::add(boost::asio::ip::tcp::socket socket) {
  boost::asio::dispatch(context_,
                        [this, socket = std::move(socket)]() mutable { serve(std::move(socket)); });
}

void HttpWorker::serve(boost::asio::ip::tcp::socket socket) {
  const bool refused = shared_.open >= shared_.options.max_connections;
  if (refused && shared_.refused >= kMostRefused) return;
  boost::system::error_code ignored;
  socket.set_option(boost::asio::ip::tcp::no_delay(true), ignored);
  ::fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC);
  auto connection = make_server_connection(*this, std::move(socket), tls_);
  connection->place = connections_.size();
  connections_.push_back(connection);
  connection->start(refused);
}

void HttpWorker::remove(ServerConnection& connection) {
  const size_t place = connection.place;
  if (place + 1 < connections_.size()) {
    std::swap(connections_[place], connections_.back());
    connections_[place]->place = place;
  }
  connections_.pop_back();
}

void HttpWorker::for_each(const std::function<void(ServerConnection&)>& visit) {
  // Backwards: the place of one that is removed gets the last, which has been visited.
  for (size_t i = connections_.size(); i-- > 0;) {
    const auto connection = connections_[i];
    visit(*connection);
  }
}

void HttpWorker::drain() {
  std::promise<void> done;
  boost::asio::post(context_, [this, &done] {
    for_each([](ServerConnection& connection) { connection.drain(); });
    boost::asio::post(context_, [&done] { done.set_value(); });  // behind what drain() posted
  });
  done.get_future().wait();
}

void HttpWorker::tick() {
  const auto now = HttpClock::now();
  for_each([now](ServerConnection& connection) { connection.sweep(now); });
  timer_.expires_after(period_);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) tick();
  });
}

}  // namespace levin
