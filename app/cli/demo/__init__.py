"""`mailweir demo`: a whole gateway with a day behind it and a world around it, gone when it ends.

lives          what becomes of one mail; pure
world          who sends and who subscribes
accounts       the simulated provider accounts, which build and sign native requests
day            the day before the demo began, as a list of happenings; pure
history        writes that day into the store, through the store's own code
subscribers    the subscribers, whose answers can be changed while it runs
traffic        what happens from then on, every incident once
findings       what is there to see at the end
serving        a server in a thread of its own
stage          puts all of it up, and takes it away
verb           the command
"""
