/** What attaché finds in its image: deploy/Dockerfile. */
export const imageEnvironment = { MALLOC_ARENA_MAX: "1", NODE_OPTIONS: "--max-semi-space-size=4" };

/** The flags of the image's command line (deploy/Dockerfile). */
export const imageFlags = ["--disable-sigusr1", "--no-maglev", "--memory-saver-mode"];
