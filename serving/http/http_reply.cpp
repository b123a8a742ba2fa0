#include <levin/serving/http/http_reply.h>

#include <atomic>
#include <utility>

#include <boost/asio/post.hpp>

#include <levin/serving/http/http_response.h>
#include <levin/serving/http/reply_burst.h>
#include <levin/serving/http/server_connection.h>
#include <levin/serving/http/server_thread.h>
#include <levin/serving/protocol/refusal.h>

namespace levin {
namespace {

/// The mailbox whose thread this is.
thread_local HttpMailbox* mailbox_of_thread = nullptr;

/// The burst of the calling thread: how many objects keep it up, and the mailboxes that wait for
/// its end.
struct BurstOfThread {
  int depth = 0;
  std::vector<std::shared_ptr<HttpMailbox>> mailboxes{};
};
thread_local BurstOfThread burst_of_thread;

/// One request's right to be answered, once.
class ReplyRight {
 public:
  ReplyRight(std::shared_ptr<HttpMailbox> mailbox, std::weak_ptr<ServerConnection> connection,
             uint64_t number)
      : mailbox_(std::move(mailbox)), connection_(std::move(connection)), number_(number) {}
  ~ReplyRight() {
    if (used_) return;
    try {
      send(error_response(Refusal::failed()));
    } catch (...) {  // without memory for an answer, the client gets none
    }
  }
  ReplyRight(const ReplyRight&) = delete;
  ReplyRight& operator=(const ReplyRight&) = delete;

  void send(HttpResponse response) {
    if (used_.exchange(true)) return;
    mailbox_->send(connection_, number_, std::move(response));
  }

 private:
  std::shared_ptr<HttpMailbox> mailbox_;
  std::weak_ptr<ServerConnection> connection_;
  uint64_t number_;
  std::atomic<bool> used_{false};
};

}  // namespace

void HttpMailbox::enter() { mailbox_of_thread = this; }

void HttpMailbox::send(const std::weak_ptr<ServerConnection>& connection, uint64_t number,
                       HttpResponse response) {
  if (mailbox_of_thread == this) {
    if (const auto alive = connection.lock()) alive->answer(number, std::move(response));
    return;
  }
  const std::lock_guard lock(mutex_);
  if (context_ == nullptr) return;
  letters_.push_back({connection, number, std::move(response)});
  if (is_called_) return;  // the thread is on its way
  auto& burst = burst_of_thread;
  if (burst.depth > 0) {
    const auto self = shared_from_this();
    if (burst.mailboxes.empty() || burst.mailboxes.back() != self) burst.mailboxes.push_back(self);
    return;
  }
  call();
}

/// Needs the lock.
void HttpMailbox::call() {
  is_called_ = true;
  boost::asio::post(*context_, [self = shared_from_this()] { self->deliver(); });
}

void HttpMailbox::end_burst() {
  const std::lock_guard lock(mutex_);
  if (context_ != nullptr && !is_called_ && !letters_.empty()) call();
}

void HttpMailbox::close() {
  const std::lock_guard lock(mutex_);
  context_ = nullptr;
  letters_.clear();
}

HttpReply HttpMailbox::reply(std::weak_ptr<ServerConnection> connection, uint64_t number) {
  auto right = std::make_shared<ReplyRight>(shared_from_this(), std::move(connection), number);
  return [right = std::move(right)](HttpResponse response) { right->send(std::move(response)); };
}

void HttpMailbox::deliver() {
  {
    const std::lock_guard lock(mutex_);
    is_called_ = false;
    letters_.swap(delivering_);
  }
  for (auto& letter : delivering_) {
    if (const auto alive = letter.connection.lock()) {
      alive->answer(letter.number, std::move(letter.response));
    }
  }
  delivering_.clear();
}

bool HttpMailbox::post(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  if (context_ == nullptr) return false;
  boost::asio::post(*context_, std::move(task));
  return true;
}

bool run_after_reading(std::function<void()> task) {
  return mailbox_of_thread != nullptr && mailbox_of_thread->post(std::move(task));
}

ReplyBurst::ReplyBurst() { ++burst_of_thread.depth; }

ReplyBurst::~ReplyBurst() {
  auto& burst = burst_of_thread;
  if (--burst.depth > 0) return;
  for (const auto& mailbox : burst.mailboxes) mailbox->end_burst();
  burst.mailboxes.clear();
}

}  // namespace levin
