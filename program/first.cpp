#include <levin/cli/command_line.h>

// The program that ./run builds first: it has the commands of cli/, but not those that serve and
// tune.
int main(int argc, char** argv) {
  return levin::run_command_line(argc, argv, levin::shipped_classes(), {});
}
