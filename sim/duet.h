// Two engines and the messages between them, where somebody else decides what happens next: the stage of the small-scope search
// (small_scope.h). Time stands still while anything can be delivered, so nothing but the chosen order decides what comes of it.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"
#include "ikev2/engine.h"

namespace merlon::sim {

enum class Operation : std::uint8_t { kRekeyChild, kRekeyIke, kDeleteChild, kDeleteIke, kCreateChild };
inline constexpr std::array kOperations{Operation::kRekeyChild, Operation::kRekeyIke, Operation::kDeleteChild,
                                        Operation::kDeleteIke, Operation::kCreateChild};
[[nodiscard]] std::string_view to_text(Operation operation);

// What may happen next.
struct Choice {
  enum class Kind : std::uint8_t {
    kDeliver,   // a message arrives
    kLose,      // a message never arrives
    kDouble,    // a message arrives, and will once more
    kComplete,  // a key exchange that was asked for is done
    kTick,      // nothing else is left to wait for: time goes on to the next deadline
  };
  Kind kind = Kind::kTick;
  std::size_t index = 0;  // of the message, or of the peer whose oldest unanswered action is carried out
};

struct DuetOptions {
  bool slow_crypto = false;  // a key exchange may end at any later moment; else it is done at once
  bool pfs = false;          // Child SAs with a key exchange of their own
  bool trace = false;        // keep lines()
};

// One of the two. What it is depends on nothing but what it was told, in order, and when: `history` stands for its whole content.
class DuetPeer final : public ike::SpiAllocator {
 public:
  DuetPeer(std::size_t number, const DuetOptions& options);

  Result<Spi> allocate() override;
  void release(Spi spi) override;

  struct Installed {
    policy::ChildSaPtr sa;
    bool use_outbound = true;
  };

  SeededRng rng;
  ikev2::Engine engine;
  std::map<std::uint64_t, Installed> installed;
  std::set<std::uint32_t> spis;         // held, the installed ones included
  std::vector<ike::Action> unanswered;  // slow actions
  std::uint64_t history = 0;
  std::size_t failures = 0;  // negotiations that it said have failed
  std::string fault;         // of its own books, for people
};

class Duet {
 public:
  explicit Duet(const DuetOptions& options);
  Duet(const Duet&) = delete;
  Duet& operator=(const Duet&) = delete;

  // An IKE SA with one Child SA, "net", made without faults. Then both operations begin, and nothing has been delivered.
  void begin(Operation at_a, Operation at_b);
  [[nodiscard]] std::vector<Choice> choices(unsigned faults_left) const;
  void take(const Choice& choice);
  // Without faults, first come first served, until nothing is left to wait for. False: it never comes to rest.
  bool settle();

  // Equal where everything that may follow is equal.
  [[nodiscard]] std::uint64_t digest() const;
  [[nodiscard]] const DuetPeer& peer(std::size_t number) const { return *peers_[number]; }
  void command(std::size_t at, Operation operation);
  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }

 private:
  struct Message {
    std::size_t to = 0;
    ike::Transmit transmit;
    std::uint64_t digest = 0;
  };

  void deliver(const Message& message);
  void carry_out(std::size_t at);
  void tick();
  // Everything that a peer wants at once, and nothing that has to wait.
  void drain(std::size_t at);
  void perform(std::size_t at, ike::Action& action);
  void told(std::size_t at, std::uint64_t input);  // goes into its history
  void line(std::string text);
  [[nodiscard]] Instant next_deadline() const;
  [[nodiscard]] Now now() const;

  DuetOptions options_;
  std::array<std::unique_ptr<DuetPeer>, 2> peers_;
  std::vector<Message> in_flight_;
  Instant now_, begun_;
  std::vector<std::string> lines_;
};

}  // namespace merlon::sim
