/** The package has no types of its own; these are of the one function that we use, from its README (1.5). */
declare module "fs-native-extensions" {
  /** Locks the whole file, exclusively, for as long as the file is open; false if it is locked already. */
  export function tryLock(fd: number): boolean;
}
