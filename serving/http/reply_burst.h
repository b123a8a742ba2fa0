#pragma once

namespace levin {

/// While an object of this class exists, the replies of the thread that made it (HttpReply) are
/// collected, and sent together when it ends. A thread that answers many requests at a time then
/// wakes each thread of the server once, instead of once for each answer. Objects may be nested;
/// the outermost counts.
class ReplyBurst {
 public:
  ReplyBurst();
  ~ReplyBurst();
  ReplyBurst(const ReplyBurst&) = delete;
  ReplyBurst& operator=(const ReplyBurst&) = delete;
};

}  // namespace levin
