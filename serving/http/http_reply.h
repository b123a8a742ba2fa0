#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include <boost/asio/io_context.hpp>

#include <levin/serving/http/http_message.h>

namespace levin {

class ServerConnection;

/// Where replies from other threads wait for the thread of their connection. It outlives the
/// server for as long as somebody holds a reply, which then does nothing.
class HttpMailbox : public std::enable_shared_from_this<HttpMailbox> {
 public:
  explicit HttpMailbox(boost::asio::io_context& context) : context_(&context) {}

  /// Declares the calling thread to be the one of the connections.
  void enter();
  /// Gives `response` to the request `number` of the connection: at once on the connection's
  /// thread, otherwise soon.
  void send(const std::weak_ptr<ServerConnection>& connection, uint64_t number,
            HttpResponse response);
  /// Makes the connections' thread deliver what was sent in a burst (ReplyBurst).
  void end_burst();
  /// Runs `task` on the connections' thread, behind what it has to do already.
  /// Returns false if that thread has ended.
  bool post(std::function<void()> task);
  /// From now on, replies are lost. Called when the thread has ended.
  void close();

  /// The reply to request `number` of a connection. If all of its copies end without a call, the
  /// request is answered with status 500.
  HttpReply reply(std::weak_ptr<ServerConnection> connection, uint64_t number);

 private:
  struct Letter {
    std::weak_ptr<ServerConnection> connection;
    uint64_t number;
    HttpResponse response;
  };

  void call();
  void deliver();

  std::mutex mutex_{};
  boost::asio::io_context* context_;
  bool is_called_ = false;  // the thread is going to deliver the letters
  std::vector<Letter> letters_{};
  std::vector<Letter> delivering_{};
};

}  // namespace levin
