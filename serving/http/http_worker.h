#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <levin/framework/threads/awake_waits.h>
#include <levin/serving/http/http_reply.h>
#include <levin/serving/http/http_shared.h>

namespace levin {

/// A thread and the connections that belong to it. One timer looks after the deadlines of all of
/// them, so that a request moves no timer.
class HttpWorker {
 public:
  HttpWorker(HttpShared& shared, boost::asio::ssl::context* tls);
  ~HttpWorker();
  HttpWorker(const HttpWorker&) = delete;
  HttpWorker& operator=(const HttpWorker&) = delete;

  void start();
  /// Ends the thread, and its connections.
  void stop();

  boost::asio::io_context& context() { return context_; }
  HttpShared& shared() { return shared_; }
  HttpMailbox& mailbox() { return *mailbox_; }

  /// Serves a connection; from any thread.
  void add(boost::asio::ip::tcp::socket socket);
  /// Ends connections without a request, and waits until that is done; not from the worker's
  /// thread.
  void drain();
  /// Forgets a connection; from the worker's thread.
  void remove(ServerConnection& connection);

 private:
  void run();
  void run_events();
  void serve(boost::asio::ip::tcp::socket socket);
  void tick();
  /// Calls `visit` for each connection; it may remove the one that it gets.
  void for_each(const std::function<void(ServerConnection&)>& visit);

  HttpShared& shared_;
  boost::asio::ssl::context* tls_;
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer timer_;
  HttpClock::duration period_;
  AwakeWaits<HttpClock> waits_{};
  std::shared_ptr<HttpMailbox> mailbox_;
  std::vector<std::shared_ptr<ServerConnection>> connections_{};
  std::thread thread_{};
};

}  // namespace levin
