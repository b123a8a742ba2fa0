#include <levin/serving/commands/serving_commands.h>

#include <levin/serving/commands/bench_serve.h>
#include <levin/serving/commands/serve.h>

namespace levin {

Commands serving_commands() {
  return {
      bench_serve_command(),
      serve_command(),
  };
}

}  // namespace levin
