"""Decodes clips with torchcodec in several processes, as a data loader would.

Arguments: processes, frames, frames a second, samples a second. Each line of standard input is
{"files": [...], "dump": [...] or null}; each is answered by {"seconds", "cpu_seconds"}. Frames and samples
stay in the process that decoded them, where a trainer's would be copied or shared once more.
"""

import json
import multiprocessing
import sys
import time

import torch
from torchcodec.decoders import AudioDecoder, VideoDecoder

PROCESSES, FRAMES, FPS, RATE = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])


def start():
    torch.set_num_threads(1)


def decode(file, dump):
    begun = time.process_time()
    video = VideoDecoder(file, dimension_order="NHWC")
    frames = video.get_frames_played_at([index / FPS for index in range(FRAMES)]).data
    # The mean of the channels, as librosa has it; FFmpeg's own way to one channel adds 3 dB to what both hold.
    sound = AudioDecoder(file, sample_rate=RATE).get_all_samples().data.mean(0)
    spent = time.process_time() - begun
    if dump:
        with open(dump, "wb") as out:
            out.write(frames.contiguous().numpy().tobytes())
            out.write(sound.contiguous().numpy().tobytes())
    return spent


def main():
    with multiprocessing.Pool(PROCESSES, start) as pool:
        print(flush=True)
        for line in sys.stdin:
            asked = json.loads(line)
            dumps = asked["dump"] or [None] * len(asked["files"])
            begun = time.monotonic()
            spent = pool.starmap(decode, zip(asked["files"], dumps), chunksize=1)
            print(json.dumps({"seconds": time.monotonic() - begun, "cpu_seconds": sum(spent)}), flush=True)


if __name__ == "__main__":
    main()
