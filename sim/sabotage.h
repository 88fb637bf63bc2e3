// Faults of the gateways themselves, put in on purpose: each must be caught by an invariant, which shows that the invariant can fail.
#pragma once

#include <cstdint>

namespace merlon::sim {

enum class Sabotage : std::uint8_t {
  kNone,
  kCorruptKey,           // one end of a Child SA gets another key
  kWidenSelectors,       // one end of a Child SA takes more than was agreed
  kReinstallKeys,        // a Child SA is installed a second time with the keys of an older one
  kSendInClear,          // an inner packet leaves unprotected
  kReuseSequence,        // an ESP packet is made again with the same sequence number
  kDeliverTwice,         // an inner packet comes out of the tunnel twice
  kDeliverUnsent,        // an inner packet comes out that nobody sent
  kDeliverElsewhere,     // an inner packet comes out whose addresses are not of its tunnel
  kKeepChildSas,         // removed Child SAs stay in the packet engine
  kKeepSpis,             // the SPI of a removed Child SA is not given back
  kSkipMessageId,        // a request leaves a Message ID out
  kAlterRetransmission,  // a request that is sent again is not the same any more
  kNeverHeal,            // a path stays cut
  kLosePackets,          // one inner packet in a hundred is lost for no reason
  kLoseMostPackets,      // the same with three of four, after 40 seconds
  kAnswerTooMuch,        // answers leave three times
  kRepeatRequests,       // requests leave ten times
  kForgetLimits,         // the engine does not know the limits of IKE SAs and memory that the host has
  kMistakePeer,          // somebody else is taken for the peer
  kNeverRest,            // a timer is due again and again
  kReuseIv,              // an ESP packet is made again with the next sequence number and the same IV
  kRepeatIkeIv,          // IKE messages have the IV of the first one
  kTwoRequests,          // a second request leaves before the first one is answered
  kTruncateMessages,     // IKE messages leave without a whole header
  kOtherAlgorithms,      // one end of a Child SA has extended sequence numbers, and the other has not
  kOtherChild,           // one end of a Child SA takes it for another child
  kOtherConnection,      // a Child SA is of a connection that nobody configured
  kWidenBothEnds,        // both ends of a Child SA take more than they are configured for, mirrored
  kOneKeyBothWays,       // a Child SA has one key for both directions
  kShortKey,             // a Child SA has a key that is too short
  kAlterPackets,         // an inner packet comes out changed
  kKeepBuffers,          // packet buffers are never given back
  kReleaseTwice,         // the SPI of a removed Child SA is given back twice
  kRemoveTwice,          // a Child SA is removed from the packet engine twice
  kUpdateRemoved,        // a Child SA is changed after it was removed
  kSendUnderRemoved,     // ESP leaves under a Child SA that was removed
  kForgetExceptions,     // the packet engine knows no policies that discard or bypass
  kRefuseWhatFits,       // an inner packet that fits is answered with an ICMP error
  kHoardTimers,          // timers are set and set, for later
};

}  // namespace merlon::sim
