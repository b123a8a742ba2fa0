#pragma once

#include <string>
#include <string_view>

namespace levin {

/// The names of the keys and channels of a service in Redis.
struct RedisNames {
  /// What all of them begin with.
  std::string prefix = "levin";

  /// The stream of the requests for a model, and the group of its model processes.
  std::string requests(std::string_view model) const { return named("requests", model); }
  static constexpr std::string_view kGroup = "levin";
  /// The answer to a request, for `result_expiry` seconds.
  std::string result(std::string_view id) const { return named("result", id); }
  /// Exists while a request of a front end waits.
  std::string waiting(std::string_view id) const { return named("waiting", id); }
  /// The channel of the answers for one front end, and that of all answers of a model.
  std::string front(std::string_view front) const { return named("front", front); }
  std::string results(std::string_view model) const { return named("results", model); }
  /// Exists while a model process is alive.
  std::string worker(std::string_view id) const { return named("worker", id); }
  /// The hash of the model processes, and what models each of them has.
  std::string workers() const { return prefix + ":workers"; }
  /// The hash of what has happened to requests.
  std::string statistics() const { return prefix + ":statistics"; }
  /// The channels of news of models, and of commands to model processes.
  std::string updates() const { return prefix + ":updates"; }
  std::string commands() const { return prefix + ":commands"; }
  /// The list of what became of a command in each model process: nothing, or a refusal.
  std::string obeyed(std::string_view command) const { return named("obeyed", command); }

 private:
  std::string named(std::string_view kind, std::string_view name) const {
    std::string key = prefix;
    return key.append(":").append(kind).append(":").append(name);
  }
};

/// Adds a request to a stream, once, however often it is called for the same id. Returns 1; 0 if
/// the stream is full; the answer if there is one already.
/// Keys: stream, waiting, result. Arguments: the most entries, milliseconds, fields and values.
inline constexpr std::string_view kPushScript = R"(
local answer = redis.call('GET', KEYS[3])
if answer then return answer end
if redis.call('EXISTS', KEYS[2]) == 1 then return 1 end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[2], '1', 'PX', ARGV[2])
redis.call('XADD', KEYS[1], '*', unpack(ARGV, 3))
return 1
)";

/// Answers a request, once, however many model processes have computed it, and removes it. Returns
/// whether this was the first answer.
/// Keys: result, stream, waiting. Arguments: the answer, milliseconds, the front end's channel or
/// nothing, the model's channel, the group, the entry, the request's id.
inline constexpr std::string_view kAnswerScript = R"(
local first = redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX')
if first then
  local text = ARGV[7] .. '\n' .. ARGV[1]
  if ARGV[3] ~= '' then redis.call('PUBLISH', ARGV[3], text) end
  redis.call('PUBLISH', ARGV[4], text)
end
redis.call('DEL', KEYS[3])
redis.call('XACK', KEYS[2], ARGV[5], ARGV[6])
redis.call('XDEL', KEYS[2], ARGV[6])
return first and 1 or 0
)";

/// Removes a model process from the group of a stream, if it is dead and has nothing in hand.
/// Keys: stream, worker. Arguments: the group, the model process.
inline constexpr std::string_view kForgetScript = R"(
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
return redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
)";

}  // namespace levin
